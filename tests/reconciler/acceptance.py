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
    "K5": "no step answers with a requeue: the first run adds the finalizer and goes on",
    "K6": "no step answers with a requeue: the first run adds the finalizer and goes on",
    "K9": "no step of this kind raises a waiting error",
    "K11": "no step of this kind raises an error that is to be ignored",
}
LATER: typing.Final = {
    "C12": "login to a cloud's registry: tested where the providers are built",
    "C19": "workload identity of a ServiceAccount: tested where the providers are built",
}
