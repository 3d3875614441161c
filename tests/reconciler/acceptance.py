"""The acceptance list: how many cases each section has, and which of them are tested how.

Cases are named after their number in the list (``test_b5_…``, or a parametrised id ``B5``).
Sections whose rows have no numbers (K, U) are numbered in the order of their table.
"""

import typing

CASES: typing.Final = {"A": 10, "B": 9, "C": 19, "D": 6, "E": 7, "F": 9, "G": 6, "H": 6, "I": 6}
ROWS: typing.Final = {"K": 18, "U": 5}

NOT_APPLICABLE: typing.Final = {
    "F8": "there is no working directory that could be missing: a layer is never unpacked to disk",
    "F9": "there is no working directory that could be a file (InvalidPath)",
}
