"""Faults of the program itself, for the log: which, and where, on one line.

Their texts are left out: they might hold what a client sent.
"""

import pathlib
import traceback

_SHOWN_FRAMES = 4


def place(error: BaseException) -> str:
    """What failed and where, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_SHOWN_FRAMES:]
    shown = " < ".join(
        f"{pathlib.PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in reversed(frames)
    )
    return f"{type(error).__name__} in {shown}"
