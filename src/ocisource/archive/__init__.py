"""From a layer to a reproducible archive: ignore rules, reading and writing tar."""
