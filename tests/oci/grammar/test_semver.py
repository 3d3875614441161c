"""Ranges and tags as the published tables have them."""

import contextlib
import random
import re

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.oci.grammar import ranges, semver
from ocisource.oci.grammar.versions import Version
from tests.parts import fuzz

ALL_TAGS = (
    "0.0.0 0.0.3 0.0.4 0.1.0 0.2.3 0.2.4 0.3.0 1.0.0 1.0.1 1.2.0 1.2.3 1.2.3-rc.1 1.2.4-alpha "
    "1.3.0 2.0.0-beta.1 2.0.0 v2.1.0 3.4.5 6.1.5 6.1.6-rc.1"
)
EVERY = ALL_TAGS.split()
RELEASES = [tag for tag in EVERY if "-" not in tag]
UP_TO_1_2_0 = "0.0.0 0.0.3 0.0.4 0.1.0 0.2.3 0.2.4 0.3.0 1.0.0 1.0.1 1.2.0"
ZEROS = "0.0.0 0.0.3 0.0.4 0.1.0 0.2.3 0.2.4 0.3.0"
MAJOR_1 = "1.0.0 1.0.1 1.2.0 1.2.3 1.3.0"
FROM_1_3 = "1.3.0 2.0.0 v2.1.0 3.4.5 6.1.5"

# The measured table: range, what it admits out of EVERY, in any order.
TABLE = [
    ("1", MAJOR_1),
    ("1.x", MAJOR_1),
    ("~1", MAJOR_1),
    ("^1", MAJOR_1),
    ("!=1.2", " ".join(tag for tag in RELEASES if not tag.startswith("1.2."))),
    (">1", "2.0.0 v2.1.0 3.4.5 6.1.5"),
    (">1.2", FROM_1_3),
    (">1.2.3", FROM_1_3),
    (">=1.2", f"1.2.0 1.2.3 {FROM_1_3}"),
    (">=1.2.3-0", f"1.2.3-rc.1 1.2.3 1.2.4-alpha 2.0.0-beta.1 6.1.6-rc.1 {FROM_1_3}"),
    (">=1.2.3-0 <2.0.0", "1.2.3-rc.1 1.2.3 1.2.4-alpha 1.3.0 2.0.0-beta.1"),
    (">= 1.2.3, < 2.0.0", "1.2.3 1.3.0"),
    ("<=1.2", f"{UP_TO_1_2_0} 1.2.3"),
    ("<=1.2.3", f"{UP_TO_1_2_0} 1.2.3"),
    ("=<1.2.3", f"{UP_TO_1_2_0} 1.2.3"),
    ("=>1.2.3", f"1.2.3 {FROM_1_3}"),
    (">=1.2.3", f"1.2.3 {FROM_1_3}"),
    ("~1.2.3", "1.2.3"),
    ("~1.2.3-0", "1.2.3-rc.1 1.2.3 1.2.4-alpha"),
    ("~0", ZEROS),
    ("~0.1", "0.1.0"),
    ("^0", ZEROS),
    ("^0.0", "0.0.0 0.0.3 0.0.4"),
    ("^0.0.3", "0.0.3"),
    ("^*", "0.0.0"),
    ("1.2 - 2.0", "1.2.0 1.2.3 1.3.0 2.0.0"),
    ("1.2.0 - 2.0.0", "1.2.0 1.2.3 1.3.0 2.0.0"),
    (">=0.0.0-0", " ".join(EVERY)),
    (">0.0.0-0", " ".join(EVERY)),
    ("*-0", " ".join(EVERY)),
    ("1.x-0", f"{MAJOR_1} 1.2.3-rc.1 1.2.4-alpha"),
    ("6.1.x-0", "6.1.5 6.1.6-rc.1"),
    (">= 6.1.x-0", "6.1.5 6.1.6-rc.1"),
    (">=1.0.0 <2.0.0 || >=3.0.0", f"{MAJOR_1} 3.4.5 6.1.5"),
]

# The forms of the rules' own table that the measured one does not reach.
FORMS = [
    ("1.2.3", "1.2.3"),
    ("=1.2.3+build", "1.2.3"),
    ("v1.2.3", "1.2.3"),
    ("=1", MAJOR_1),
    ("1.2", "1.2.0 1.2.3"),
    ("1.2.X", "1.2.0 1.2.3"),
    ("*", " ".join(RELEASES)),
    ("x", " ".join(RELEASES)),
    ("!=1.2.3", " ".join(tag for tag in RELEASES if tag != "1.2.3")),
    ("!=1", " ".join(tag for tag in RELEASES if not tag.startswith("1."))),
    ("<1.2", f"{ZEROS} 1.0.0 1.0.1"),
    ("<=1", f"{ZEROS} {MAJOR_1}"),
    ("~0.0.0", " ".join(RELEASES)),
    ("~*", " ".join(RELEASES)),
    ("~> 1.2", "1.2.0 1.2.3"),
    ("^1.2.3", "1.2.3 1.3.0"),
    ("^1.2", "1.2.0 1.2.3 1.3.0"),
    ("^0.2.3", "0.2.3 0.2.4"),
    ("^0.2", "0.2.3 0.2.4"),
    ("1.2.0-2.0.0", ""),
    ("01.02.03", "1.2.3"),
    ("  >=1.2.3  ,  <2.0.0  ", "1.2.3 1.3.0"),
    (">=1.2.3\t<2.0.0", "1.2.3 1.3.0"),
    ("~1.2.3||6.1.5", "1.2.3 6.1.5"),
]

ERRORS = [
    "",
    "foo",
    ">=",
    "1.2.3.4",
    ">=1.0.0 && <2",
    ">=1.0.0,,<2.0.0",
    "==1.2.3",
    "!1.2.3",
    "!1",
    "&&",
    "==",
    ",,",
    ">=1.0.0<2.0.0",
    "1.2.3 ||",
    "|| 1.2.3",
    "18446744073709551616",
    "1.2.3-01",
    "1.2.3-rc_1",
    "1.2.3,",
    ",1.2.3",
    ">=1.0.0 - 2.0.0",
    "1x",
    "1.2.3 -",
]


def admitted(expression: str, tags: list[str] = EVERY) -> set[str]:
    """Tags that a range admits."""
    constraint = ranges.Constraint.parse(expression)
    versions = {tag: Version.parse(tag) for tag in tags}
    return {tag for tag, version in versions.items() if version and constraint.admits(version)}


@pytest.mark.parametrize(("expression", "expected"), TABLE)
def test_q_ranges_admit_what_the_measured_table_says(expression: str, expected: str) -> None:
    """Acceptance Q: the table of ranges."""
    assert admitted(expression) == set(expected.split())


@pytest.mark.parametrize(("expression", "expected"), FORMS)
def test_each_form_of_the_grammar_means_what_the_rules_say(expression: str, expected: str) -> None:
    """The forms of the range grammar."""
    assert admitted(expression) == set(expected.split())


@pytest.mark.parametrize("expression", ERRORS)
def test_q_ranges_that_cannot_be_read_are_errors(expression: str) -> None:
    """Acceptance Q: parse errors name the range and the improper segment."""
    with pytest.raises(errors.ReferenceInvalidError) as caught:
        ranges.Constraint.parse(expression)
    assert caught.value.text.startswith(f"semver '{expression.strip()}' parse error: ")
    assert "improper constraint: " in str(caught.value)


def test_the_improper_segment_is_quoted_and_not_the_whole_range() -> None:
    """Of several alternatives the message shows the one that is wrong."""
    with pytest.raises(errors.ReferenceInvalidError, match=r'improper constraint: "foo"$'):
        ranges.Constraint.parse("1.2.3 || foo")


@pytest.mark.parametrize(
    "tag",
    ["1.2.3", "v1.2.3", "1.2.3-rc.1+b", "1.2.3-a.b", "01.2.3", "1.02.3", "v2025.02.03-rc.1"],
)
def test_q_tags_that_are_versions(tag: str) -> None:
    """Acceptance Q: tags that count."""
    assert Version.parse(tag) is not None


@pytest.mark.parametrize(
    "tag",
    [
        *("1", "1.2", "latest", "V1.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3-rc_1", "1.2.3_b"),
        *("1.2.3.4", " 1.2.3", "18446744073709551616.0.0", "vv1.2.3", "1.2.3\n", "\u0661.2.3", ""),
        "1.2.3-" + "a" * 300,
    ],
)
def test_q_tags_that_are_skipped(tag: str) -> None:
    """Acceptance Q: tags that are no versions are passed over in silence."""
    assert Version.parse(tag) is None
    with pytest.raises(errors.NoMatchError):
        semver.latest_match([tag], expression=">=0.0.0-0")


def test_leading_zeros_are_numbers() -> None:
    """``v2025.02.03-rc.1`` is 2025.2.3-rc.1."""
    assert Version.parse("v2025.02.03-rc.1") == Version(2025, 2, 3, "rc.1")


def test_the_largest_number_is_that_of_64_bits() -> None:
    """One below the first number that is skipped."""
    assert semver.latest_match(["18446744073709551615.0.0"], expression="*")


def test_precedence_is_that_of_the_specification() -> None:
    """The chain of semver.org, 11.4, and build metadata that does not count."""
    chain = (
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 "
        "1.0.0-rc.1 1.0.0"
    )
    versions = [version for tag in chain.split() if (version := Version.parse(tag))]
    shuffled = random.Random(0).sample(versions, len(versions))
    assert sorted(shuffled) == versions
    assert Version.parse("1.0.0+a") == Version.parse("1.0.0+b")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [(["v1.2.3", "1.2.3", "1.0.0"], "v1.2.3"), (["1.2.3", "v1.2.3"], "1.2.3")],
)
def test_q_of_equal_versions_the_registrys_first_wins(tags: list[str], expected: str) -> None:
    """Acceptance Q: equal precedence."""
    assert semver.latest_match(tags, expression="1.x") == expected


PODINFO_TAGS = "6.1.4 6.1.5-beta.1 6.1.5-rc.1 6.1.5 6.1.6-rc.1 6.1.6 6.2.1_ref.1234567 6.2.1"
PODINFO = PODINFO_TAGS.split()


@pytest.mark.parametrize(
    ("tags", "expression", "pattern", "is_helm_chart", "expected"),
    [
        pytest.param(["6.1.4", "6.1.5", "6.1.6"], ">= 6.1.6", None, False, "6.1.6", id="A4"),
        pytest.param(PODINFO, "~6.1.x", None, False, "6.1.6", id="A5"),
        pytest.param(PODINFO, ">= 6.1.x-0", ".*-rc.*", False, "6.1.6-rc.1", id="A6"),
        pytest.param(PODINFO, ">= 6.2.0", None, True, "6.2.1_ref.1234567", id="A8"),
        pytest.param(PODINFO, ">= 6.2.0", None, False, "6.2.1", id="A8-not-helm"),
        pytest.param(PODINFO, ">= 6.1 <= 6.1.5", None, False, "6.1.5", id="H6"),
        pytest.param(PODINFO, "*-0", "rc", False, "6.1.6-rc.1", id="filter-is-a-search"),
        pytest.param(PODINFO, "*", "_ref", True, "6.2.1_ref.1234567", id="filter-sees-raw-tags"),
    ],
)
def test_a_the_latest_match_is_chosen(
    *, tags: list[str], expression: str, pattern: str | None, is_helm_chart: bool, expected: str
) -> None:
    """Acceptance A 4-8: ranges, filters and Helm's tags."""
    chosen = semver.latest_match(
        tags, expression=expression, pattern=pattern, is_helm_chart=is_helm_chart
    )
    assert chosen == expected


def test_a7_a_filter_that_leaves_nothing_is_no_match() -> None:
    """Acceptance A 7, and the text of B 6."""
    text = re.escape("no match found for semver: >= 6.1.x-0")
    with pytest.raises(errors.NoMatchError, match=f"^{text}$"):
        semver.latest_match(PODINFO, expression=">= 6.1.x-0", pattern=".*-alpha.*")


def test_a_range_of_endless_alternatives_is_refused() -> None:
    """Each would be asked about each of a million tags; 128 are more than anybody writes."""
    tags = ["1.0.0"]
    most = "||".join([">9"] * 127 + ["1"])
    assert semver.latest_match(tags, expression=most) == "1.0.0"
    for expression in (f"{most}||1", f"{most} 1"):
        with pytest.raises(errors.ReferenceInvalidError, match="129 comparators, more than 128"):
            semver.latest_match(tags, expression=expression)


@pytest.mark.parametrize("tag", ["1.0.{}", "1.0.0-{}", "v{}.x"])
@pytest.mark.parametrize("pattern", [None, "^v?1"])
def test_a_choice_among_very_many_tags_can_be_called_off(tag: str, pattern: str | None) -> None:
    """In the filter, among versions of many lines, and of one."""
    tags = [tag.format(number) for number in range(10_000)]
    for after in range(10):
        answers = [True] + [False] * after
        with pytest.raises(errors.AbandonedError):
            semver.latest_match(tags, expression=">9-0", pattern=pattern, is_cancelled=answers.pop)


@pytest.mark.parametrize("pattern", ["(", "[a", r"\1", "(?!a)", "a{1001}", "x" * 5000, "\ud800"])
def test_a_filter_that_re2_does_not_take_is_an_error(pattern: str) -> None:
    """The dialect is RE2's: no look-around, no back references."""
    with pytest.raises(errors.ReferenceInvalidError, match=r"^error parsing regexp: "):
        semver.latest_match(PODINFO, expression="*", pattern=pattern)


def test_a_filter_takes_linear_time() -> None:
    """A pattern that makes backtracking engines hang answers at once."""
    is_kept = semver.compile_filter("(a+)+$")
    assert not is_kept("a" * 100_000 + "b")


SOME_RANGES = strategies.one_of(
    strategies.text(),
    strategies.text(alphabet="0123456789.xX*v-+|,<>=!~^ \t"),
    strategies.sampled_from([expression for expression, _ in TABLE + FORMS]),
)


@fuzz.counted()
@hypothesis.given(expression=SOME_RANGES, tags=strategies.lists(strategies.sampled_from(EVERY)))
def test_any_range_either_chooses_a_tag_or_is_our_error(expression: str, tags: list[str]) -> None:
    """Fuzz: nothing but our errors, and the choice is one of the tags."""
    chosen = None
    with contextlib.suppress(errors.ReferenceInvalidError):
        chosen = semver.latest_match(tags, expression=expression)
    assert chosen is None or chosen in tags


@fuzz.counted()
@hypothesis.given(text=strategies.one_of(strategies.text(), strategies.from_regex(r"v?[\d.+-]+")))
def test_any_tag_is_a_version_or_none(text: str) -> None:
    """Fuzz: parsing a tag never raises."""
    version = Version.parse(text)
    assert version is None or version.major >= 0


@fuzz.counted()
@hypothesis.given(
    case=strategies.sampled_from(TABLE),
    tags=strategies.permutations(EVERY),
    space=strategies.sampled_from(["", " ", "\t"]),
)
def test_ranges_agree_with_the_tables_in_any_order_and_spacing(
    case: tuple[str, str], tags: list[str], space: str
) -> None:
    """Property: the choice is the highest of what the published table admits."""
    expression, expected = case
    wanted = set(expected.split())
    chosen = semver.latest_match(tags, expression=space + expression + space)
    assert chosen in wanted
    best = Version.parse(chosen)
    assert best is not None
    for tag in wanted:
        version = Version.parse(tag)
        assert version is not None
        assert not best < version


@fuzz.counted()
@hypothesis.given(
    left=strategies.sampled_from(TABLE + FORMS), right=strategies.sampled_from(TABLE + FORMS)
)
def test_alternatives_admit_the_union_of_their_ranges(
    left: tuple[str, str], right: tuple[str, str]
) -> None:
    """Property: ``a || b`` admits what the tables say of a or b."""
    union = set(left[1].split()) | set(right[1].split())
    assert admitted(f"{left[0]} || {right[0]}") == union
