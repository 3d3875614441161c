"""The tests mirror ``src/ocisource``; attacks, conformance and e2e have folders of their own."""
