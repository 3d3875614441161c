"""Paging follows links on the same host, and only there."""

import contextlib

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.oci.grammar import links
from tests.parts import fuzz

PAGE = "https://reg.io/v2/org/app/tags/list?n=1000"
NEXT = "https://reg.io/v2/org/app/tags/list?last=x&n=1000"


@pytest.mark.parametrize(
    "value",
    [
        '</v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        "</v2/org/app/tags/list?last=x&n=1000>; rel=next",
        '<list?last=x&n=1000>;rel="next"',
        '<?last=x&n=1000> ; title="a, b; c" ; REL = "prev Next"',
        '<https://reg.io/v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        '<https://REG.io:443/v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        # Behind a proxy that speaks TLS for it, a registry writes its own scheme and port.
        '<http://reg.io/v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        '<http://reg.io:80/v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        '<//reg.io/v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        '<https://user:secret@reg.io/v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        '</first>; rel="first", </v2/org/app/tags/list?last=x&n=1000>; rel="next"',
        '</v2/org/app/tags/list?last=x&n=1000#fragment>; rel="next"; rel="last"',
        '</odd>; rel="\\"next\\"", <?last=x&n=1000>; rel=next',
    ],
)
def test_the_next_page_is_found(value: str) -> None:
    """Relative, absolute, quoted or not, among other links; always at the page's own origin."""
    assert links.next_page([value], page_url=PAGE) == NEXT


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["garbage"],
        ["</x>"],
        ['</x>; rel="prev"'],
        ['</x>; rel="prev"; rel="next"'],
        ["</x; rel=next"],
        ['<>; rel="next"'],
        ['</x>; title="rel=next"'],
        ['</x>; nextrel="next"'],
    ],
)
def test_no_next_page(values: list[str]) -> None:
    """The last page has no such link."""
    assert links.next_page(values, page_url=PAGE) is None


@pytest.mark.parametrize(
    "target",
    [
        *(
            "https://evil.io/v2/",
            "//evil.io/v2/",
            "https://reg.io:8443/v2/",
            "http://reg.io:8080/x",
        ),
        *(
            "https://reg.io.evil.io/",
            "https://reg.io@evil.io/",
            "ftp://reg.io/x",
            "file:///etc/passwd",
        ),
        *("https://xreg.io/", "javascript:alert(1)", "https://169.254.169.254/latest"),
    ],
)
def test_attack_a_link_to_another_host_is_refused(target: str) -> None:
    """The credential would go there."""
    with pytest.raises(
        errors.ForbiddenAddressError, match=r"refused to follow a Link from reg\.io"
    ):
        links.next_page([f'<{target}>; rel="next"'], page_url=PAGE)


def test_a_port_of_its_own_stays() -> None:
    """A registry on another port pages on that port."""
    page = "http://127.0.0.1:5000/v2/x/tags/list?n=1"
    assert links.next_page(["</v2/x/tags/list?last=1>; rel=next"], page_url=page) == (
        "http://127.0.0.1:5000/v2/x/tags/list?last=1"
    )
    with pytest.raises(errors.ForbiddenAddressError):
        links.next_page(["<http://127.0.0.1/v2/>; rel=next"], page_url=page)


@pytest.mark.parametrize(
    "target", ["http://[::1/x", "http://reg.io:port/x", "http://reg.io:99999/"]
)
def test_a_target_that_is_no_url_is_the_registrys_fault(target: str) -> None:
    """An error that says so, without a traceback."""
    with pytest.raises(errors.RegistryError, match="Link that is no URL"):
        links.next_page([f"<{target}>; rel=next"], page_url=PAGE)


def test_no_secret_of_a_link_is_shown() -> None:
    """The message about a foreign host has no query values."""
    with pytest.raises(errors.ForbiddenAddressError) as caught:
        links.next_page(["<https://u:hunter2@evil.io/?sig=hunter2>; rel=next"], page_url=PAGE)
    assert "hunter2" not in str(caught.value)


@fuzz.counted()
@hypothesis.given(
    value=strategies.one_of(
        strategies.text(),
        strategies.lists(
            strategies.sampled_from(
                [
                    "<",
                    ">",
                    ";",
                    ",",
                    "rel",
                    "=",
                    '"',
                    "next",
                    "\\",
                    " ",
                    "/x",
                    "//h",
                    "http:",
                    "[",
                    "?",
                ]
            )
        ).map("".join),
        strategies.text().map(lambda target: f"<{target}>; rel=next"),
    )
)
def test_any_header_gives_a_page_of_this_host_none_or_our_error(value: str) -> None:
    """Fuzz: nothing but our errors, and never another host."""
    page = None
    with contextlib.suppress(errors.OcisourceError):
        page = links.next_page([value], page_url=PAGE)
    assert page is None or page.startswith("https://reg.io")


def test_attack_a_huge_header_is_bounded() -> None:
    """Backslashes and quotes without end take no time to speak of."""
    assert links.parse(['</x>; rel="' + "\\" * 1_000_000]) is not None
    assert len(links.parse(["<a>," * 100_000])) <= links.HEADER_MAX // 3
