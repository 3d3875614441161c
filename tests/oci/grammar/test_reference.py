"""URLs of repositories and references, as the published tables have them."""

import contextlib

import hypothesis
import pytest
from hypothesis import strategies

from ocisource import errors
from ocisource.digest import Digest
from ocisource.oci.grammar import manifest, semver
from ocisource.oci.grammar.reference import Reference, Repository
from tests.parts import fuzz

HUB = "index.docker.io"
HEX = "a" * 64
ILLEGAL = "repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: "
AUTHORITY = "registries must be valid RFC 3986 URI authorities: "


@pytest.mark.parametrize(
    ("url", "host", "path", "is_plain"),
    [
        ("oci://localhost/x", HUB, "localhost/x", False),
        ("oci://localhost:5000/xy", "localhost:5000", "xy", True),
        ("oci://ghcr.io", HUB, "library/ghcr.io", False),
        ("oci://example.com", HUB, "library/example.com", False),
        ("oci://docker.io/nginx", HUB, "library/nginx", False),
        ("oci://nginx", HUB, "library/nginx", False),
        ("oci://index.docker.io/nginx", HUB, "library/nginx", False),
        ("oci://docker.io/org/app", HUB, "org/app", False),
        ("oci://ghcr.io/a/", "ghcr.io", "a/", False),
        ("oci://ghcr.io//ab", "ghcr.io", "/ab", False),
        ("oci://ghcr.io/..", "ghcr.io", "..", False),
        ("oci://10.0.0.1/x/y", "10.0.0.1", "x/y", True),
        ("oci://172.16.0.1:5000/x/y", "172.16.0.1:5000", "x/y", True),
        ("oci://172.32.0.1:5000/x/y", "172.32.0.1:5000", "x/y", False),
        ("oci://192.168.7.7/x/y", "192.168.7.7", "x/y", True),
        ("oci://127.0.0.1:5000/x/y", "127.0.0.1:5000", "x/y", True),
        ("oci://reg.localhost/x/y", "reg.localhost", "x/y", True),
        ("oci://reg.LOCALHOST:80/x/y", "reg.LOCALHOST:80", "x/y", True),
        ("oci://[::1]:5000/x/y", "[::1]:5000", "x/y", True),
        ("oci://reg.local/x/y", "reg.local", "x/y", False),
        ("oci://8.8.8.8/x/y", "8.8.8.8", "x/y", False),
        ("oci://ghcr.io/a_b.c-d/e__f", "ghcr.io", "a_b.c-d/e__f", False),
        ("oci://ghcr.io/" + "a" * 255, "ghcr.io", "a" * 255, False),
    ],
)
def test_the_url_table_of_accepted_addresses(
    url: str, host: str, path: str, *, is_plain: bool
) -> None:
    """Acceptance A, URL table: host, path, and whether HTTP is allowed without ``insecure``."""
    repository = Repository.parse_url(url)
    assert (repository.host, repository.path) == (host, path)
    assert str(repository) == f"{host}/{path}"
    assert repository.is_plain_http_allowed is is_plain


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "ghcr.io/stefanprodan/charts",  # A 9
            "URL must be in format 'oci://<domain>/<org>/<repo>'",
        ),
        ("OCI://ghcr.io/a/b", "URL must be in format 'oci://<domain>/<org>/<repo>'"),
        ("", "URL must be in format 'oci://<domain>/<org>/<repo>'"),
        ("oci://", "a repository name must be specified"),
        ("oci://localhost:5000/x", "repository must be between 2 and 255 characters in length: x"),
        ("oci://ghcr.io/", "repository must be between 2 and 255 characters in length: "),
        ("oci://ghcr.io/" + "a" * 256, "repository must be between 2 and 255 characters"),
        ("oci://ghcr.io/Foo", f"{ILLEGAL}Foo"),
        ("oci://ghcr.io/x y", f"{ILLEGAL}x y"),
        ("oci://ghcr.io/x/y?z=1", f"{ILLEGAL}x/y?z="),
        ("oci://host:5000", f"{ILLEGAL}host:5000"),
        ("oci://ghcr.io/test/test:v1", f"{ILLEGAL}test/test:v1 (remove ':v1'"),  # A 10
        (f"oci://ghcr.io/a/b@sha256:{HEX}", f"{ILLEGAL}a/b@sha256:{HEX} (remove '@sha256:{HEX}'"),
        ("oci://ghcr.io/a/b:", f"{ILLEGAL}a/b: (remove ':'"),
        ("oci://nginx:1.27", f"{ILLEGAL}nginx:1.27 (remove ':1.27'"),
        ("oci://user@ghcr.io/x/y", AUTHORITY),
        ("oci://ghcr.io:99999/x/y", AUTHORITY),
        ("oci://ghcr.io:/x/y", AUTHORITY),
        ("oci://ghcr.io:http/x/y", AUTHORITY),
        ("oci://:5000/x/y", AUTHORITY),
        ("oci://a:1:2/x/y", AUTHORITY),
        ("oci://[::1/x/y", AUTHORITY),
        ("oci://[fe80::1%25eth0]/x/y", AUTHORITY),
        ("oci://[127.0.0.1]/x/y", AUTHORITY),
        ("oci://b\u00fccher.example/x/y", AUTHORITY),
        ("oci://gh cr.io/x/y", AUTHORITY),
        ("oci://a..b/x/y", AUTHORITY),
        ("oci://" + "a" * 260 + ".io/x/y", AUTHORITY),
    ],
)
def test_the_url_table_of_refused_addresses(url: str, text: str) -> None:
    """Acceptance A, URL table: the newest parser's words, and what to do where it is clear."""
    with pytest.raises(errors.URLInvalidError) as caught:
        Repository.parse_url(url)
    assert str(caught.value).startswith(text)
    assert len(caught.value.text) < 800


@pytest.mark.parametrize(
    "url",
    [
        "oci://user:hunter2@ghcr.io/x/y",
        "oci://hunter2@ghcr.io/x/y",
        "oci://user:hunter2/3@ghcr.io/x/y",
        "oci://ghcr.io/x/y?token=hunter2",
        "oci://user:hunter2@ghcr.io/x/y:v1",
    ],
)
def test_attack_no_credential_of_a_url_is_shown(url: str) -> None:
    """A userinfo or query in the URL is refused, and does not reach the condition."""
    with pytest.raises(errors.URLInvalidError) as caught:
        Repository.parse_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1.example.com", "localhost.example.com", "my-localhost", "10.0.0.1.nip.io"),
        *("x127.0.0.1", "[2001:db8::127:0:0:1]", "[fd00::1]", "127.1", "0x7f.1", "100.64.0.1"),
    ],
)
def test_attack_plain_http_is_judged_on_the_host_not_on_a_substring(host: str) -> None:
    """A public name that contains a private literal needs ``insecure``."""
    assert not Repository(f"{host}:5000", "x/y").is_plain_http_allowed
    assert not Repository(host, "x/y").is_plain_http_allowed


def test_host_name_and_port_are_split() -> None:
    """What a transport needs of a host."""
    hosts = ["ghcr.io", "ghcr.io:8443", "[::1]:5000", "[::1]"]
    split = [(r.host_name, r.port) for r in (Repository(host, "x/y") for host in hosts)]
    assert split == [("ghcr.io", None), ("ghcr.io", 8443), ("::1", 5000), ("::1", None)]


CHARTS = Repository.parse_url("oci://ghcr.io/stefanprodan/charts")


@pytest.mark.parametrize(
    ("tag", "digest", "expected"),
    [
        pytest.param("", "", "ghcr.io/stefanprodan/charts:latest", id="A1"),
        pytest.param("6.1.6", "", "ghcr.io/stefanprodan/charts:6.1.6", id="A2"),
        pytest.param("", f"sha256:{HEX}", f"ghcr.io/stefanprodan/charts@sha256:{HEX}", id="A3"),
        pytest.param(
            "6.1.6", f"sha256:{HEX}", f"ghcr.io/stefanprodan/charts@sha256:{HEX}", id="B9"
        ),
        pytest.param("not a tag!", "", "ghcr.io/stefanprodan/charts:not a tag!", id="unvalidated"),
    ],
)
def test_a_digest_comes_before_a_tag_before_latest(tag: str, digest: str, expected: str) -> None:
    """Acceptance A 1-3, B 9: which reference wins."""
    assert str(Reference.select(CHARTS, tag=tag, digest=digest)) == expected


@pytest.mark.parametrize(
    ("digest", "text"),
    [
        ("invalid", 'cannot parse hash: "invalid"'),  # B 7
        ("md5:abc", 'unsupported hash: "md5"'),
        ("sha256:abc", "wrong number of hex digits for sha256: abc"),
        (f"sha256:{'A' * 64}", "found non-hex character in hash: A"),
    ],
)
def test_a_digest_that_is_none_is_retried_not_stalled(digest: str, text: str) -> None:
    """Acceptance B 7: the wording, and an error that is no invalid input."""
    with pytest.raises(errors.ReferenceInvalidError) as caught:
        Reference.select(CHARTS, digest=digest)
    assert str(caught.value) == text
    assert not isinstance(caught.value, errors.InvalidInputError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", f"{HUB}/library/nginx:latest"),
        ("nginx:1.27", f"{HUB}/library/nginx:1.27"),
        ("ghcr.io/org/app", "ghcr.io/org/app:latest"),
        ("ghcr.io/org/app:V_1.2-3", "ghcr.io/org/app:V_1.2-3"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        (f"ghcr.io/org/app@sha256:{HEX}", f"ghcr.io/org/app@sha256:{HEX}"),
        (f"ghcr.io/org/app:v1@sha256:{HEX}", f"ghcr.io/org/app@sha256:{HEX}"),
        ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
    ],
)
def test_references_of_the_command_line(text: str, expected: str) -> None:
    """``HOST/REPO[:TAG|@DIGEST]``, normalised."""
    reference = Reference.parse(text)
    assert str(reference) == expected
    assert str(Reference.parse(expected)) == expected
    assert (reference.digest is None) is (reference.tag is not None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ghcr.io/org/app:", "ghcr.io/org/app:a b", "ghcr.io/org/App", "ghcr.io/org/app@"),
        *("ghcr.io/org/app@md5:abc", f"ghcr.io/org/app@sha256:{HEX}@sha256:{HEX}"),
        "ghcr.io/org/app:" + "a" * 129,
        f"ghcr.io/org/app:@sha256:{HEX}",
    ],
)
def test_references_that_cannot_be_parsed(text: str) -> None:
    """The message names the text, bounded, and the cause."""
    with pytest.raises(errors.URLInvalidError, match=r"^could not parse reference: .*\("):
        Reference.parse(text)


def test_references_are_built_from_repositories() -> None:
    """Shorthands for a tag and a digest."""
    assert CHARTS.tagged("v1") == Reference(CHARTS, tag="v1")
    assert CHARTS.at(Digest(HEX)).identifier == f"sha256:{HEX}"
    assert CHARTS.tagged("v1").identifier == "v1"


def test_helm_tags_follow_the_layer_media_type() -> None:
    """The media type that switches Helm's mapping on is the chart's, to the letter."""
    assert manifest.HELM_CHART_CONTENT == "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    chosen = semver.latest_match(["1.0.0_b"], expression="*", is_helm_chart=True)
    assert str(CHARTS.tagged(chosen)) == "ghcr.io/stefanprodan/charts:1.0.0_b"


SNIPPETS = strategies.lists(
    strategies.one_of(
        strategies.text(max_size=6),
        strategies.sampled_from(
            [
                "oci://",
                "ghcr.io",
                "localhost",
                ":5000",
                "/",
                "//",
                "..",
                "@",
                "[::1]",
                "%",
                ":",
                "[",
                "]",
            ]
        ),
    ),
    max_size=8,
).map("".join)


@fuzz.counted()
@hypothesis.given(text=SNIPPETS)
def test_any_text_is_a_reference_or_our_error(text: str) -> None:
    """Fuzz: what is accepted has a usable host and port and parses back to itself."""
    for url in (text, f"oci://{text}"):
        with contextlib.suppress(errors.URLInvalidError):
            repository = Repository.parse_url(url)
            assert repository.host_name
            assert repository.port is None or 0 < repository.port < 65536
            assert repository.is_plain_http_allowed in {True, False}
            assert Repository.parse(str(repository)) == repository
    with contextlib.suppress(errors.URLInvalidError):
        reference = Reference.parse(text)
        assert Reference.parse(str(reference)) == reference
