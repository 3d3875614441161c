"""Every case of the acceptance list has a test, or a reason why there is none."""

import pathlib
import re

from tests.reconciler import acceptance

_NAMED = re.compile(r"def test_([a-z]\d+)_|[\"']([A-Z]\d+)[\"']")


def test_every_case_is_tested_or_accounted_for() -> None:
    """Nothing of the list is forgotten, and nothing is both tested and excused."""
    tested = set()
    for path in pathlib.Path(__file__).parent.glob("test_*.py"):
        if path.name != pathlib.Path(__file__).name:
            found = _NAMED.findall(path.read_text())
            tested |= {(name or case).upper() for name, case in found}
    excused = set(acceptance.NOT_APPLICABLE)
    wanted = {
        f"{section}{number}"
        for section, count in (acceptance.CASES | acceptance.ROWS).items()
        for number in range(1, count + 1)
    }
    assert wanted - tested - excused == set()
    assert excused & tested == set()
    assert all(reason for reason in acceptance.NOT_APPLICABLE.values())
