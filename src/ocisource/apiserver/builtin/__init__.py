"""The kinds the server has from the start: types, rules, columns, merge keys."""
