"""Which files are garbage (the current one is the newest unless said otherwise)."""

import hypothesis
import hypothesis.strategies as st

from ocisource.storage import gc


def _files(count: int, *, step: float = 1.0, now: float = 1000.0) -> list[gc.Candidate]:
    """Files 1…count, ``step`` seconds apart, the last one stored a step ago."""
    return [gc.Candidate(now - step * (count - i + 1), str(i)) for i in range(1, count + 1)]


def _select(files: list[gc.Candidate], *, ttl: float, records: int) -> tuple[str, ...]:
    return gc.select(files, current=files[-1].path, now=1000.0, ttl=ttl, records=records)


def test_surplus_files_go_oldest_first() -> None:
    """Five files, a long TTL, two records: the three oldest."""
    assert _select(_files(5), ttl=120, records=2) == ("1", "2", "3")


def test_expired_files_go_and_nothing_more_if_few_are_left() -> None:
    """Five files 1 s apart, TTL 3.5 s, four records: the two oldest, both expired."""
    assert _select(_files(5), ttl=3.5, records=4) == ("1", "2")


def test_expired_files_go_first_and_then_surplus_ones() -> None:
    """Six files 1 s apart, TTL 5.5 s, four records: one expired and one surplus."""
    assert _select(_files(6), ttl=5.5, records=4) == ("1", "2")


def test_expired_files_do_not_hide_surplus_ones() -> None:
    """Six files, one expired, one record: all but the current one go in the same pass."""
    assert _select(_files(6), ttl=5.5, records=1) == ("1", "2", "3", "4", "5")


def test_nothing_goes_while_within_age_and_number() -> None:
    """Two records and two files: nothing to do."""
    assert _select(_files(2), ttl=60, records=2) == ()


def test_the_current_file_stays_however_old_it_is() -> None:
    """A TTL does not touch what is current."""
    files = [gc.Candidate(0, "current"), gc.Candidate(900, "younger")]
    assert gc.select(files, current="current", now=1000, ttl=60, records=2) == ("younger",)
    assert gc.select(files, current="current", now=1000, ttl=600, records=0) == ("younger",)


def test_files_stored_at_the_same_moment_are_all_counted() -> None:
    """Equal times do not hide a file from retention."""
    files = [gc.Candidate(999.0, name) for name in "abcde"]
    assert gc.select(files, current="c", now=1000.0, ttl=60, records=2) == ("a", "b", "d")


@hypothesis.given(
    st.lists(st.integers(0, 100), min_size=1, max_size=20),
    st.integers(0, 20),
    st.integers(0, 120),
    st.data(),
)
def test_what_remains_is_young_and_few(
    times: list[int], records: int, ttl: int, data: st.DataObject
) -> None:
    """After a pass: nothing expired but the current file, at most the records, newest kept."""
    files = [gc.Candidate(float(when), str(i)) for i, when in enumerate(times)]
    current = data.draw(st.sampled_from(files)).path
    doomed = gc.select(files, current=current, now=100.0, ttl=ttl, records=records)
    left = [file for file in files if file.path not in doomed]
    assert current not in doomed
    assert all(100.0 - file.stored_at <= ttl for file in left if file.path != current)
    assert len(left) <= max(records, 1)
    gone = [file for file in files if file.path in doomed]
    young = [file for file in gone if 100.0 - file.stored_at <= ttl]
    assert not young or len(left) >= min(records, len(files))
    kept = [file for file in left if file.path != current]
    assert not young or not kept or max(young) < min(kept)
