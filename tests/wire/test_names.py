"""Names are judged, and complained about, as Kubernetes does it."""

import pytest

from ocisource.wire import names


@pytest.mark.parametrize("name", ["a", "a-b", "0", "a" * 63])
def test_accepts_dns_labels(name: str) -> None:
    """Lower case letters, digits and inner dashes, up to 63 characters."""
    assert names.is_dns_label(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "ä", "a\n"])
def test_refuses_what_is_no_dns_label(name: str) -> None:
    """Anything else is refused, a trailing line feed as well."""
    assert not names.is_dns_label(name)


@pytest.mark.parametrize("name", ["a.b", "1.2.3", "a-b.c", ".".join(["a" * 63] * 3)])
def test_accepts_dns_subdomains(name: str) -> None:
    """Labels with dots between them."""
    assert names.is_dns_subdomain(name)


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a.", "A.b", "a" * 254])
def test_refuses_what_is_no_dns_subdomain(name: str) -> None:
    """Empty labels, capitals and more than 253 characters are refused."""
    assert not names.is_dns_subdomain(name)


def test_complains_in_the_words_of_kubernetes() -> None:
    """The text holds the rule, examples and the regular expression."""
    (complaint,) = names.dns_subdomain_errors("A_b")
    assert complaint == (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
        "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
        r"used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def test_names_the_part_of_a_qualified_name_that_is_wrong() -> None:
    """Prefix, name and their number are complained about separately."""
    assert names.qualified_name_errors("example.com/a") == []
    assert names.qualified_name_errors("/a") == ["prefix part must be non-empty"]
    assert names.qualified_name_errors("a/")[0] == "name part must be non-empty"
    assert names.qualified_name_errors("a/b/c")[0].endswith(
        "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    )
    assert names.qualified_name_errors("a" * 64) == ["name part must be no more than 63 characters"]


@pytest.mark.parametrize("value", ["", "a", "A_b.c-d", "1" * 63])
def test_accepts_label_values(value: str) -> None:
    """A label's value may be empty."""
    assert names.label_value_errors(value) == []


@pytest.mark.parametrize("value", ["-", "a b", "a/b", "a" * 64])
def test_refuses_wrong_label_values(value: str) -> None:
    """Spaces, slashes and lonely dashes are refused."""
    assert names.label_value_errors(value)


def test_refuses_names_that_would_change_a_path() -> None:
    """A name must fit in one segment of a URL path."""
    assert names.path_segment_errors("..") == ["may not be '..'"]
    assert names.path_segment_errors("a/b%") == ["may not contain '/'", "may not contain '%'"]


def test_refuses_data_keys_that_would_leave_their_folder() -> None:
    """A key of a Secret becomes a file name where it is mounted."""
    assert names.data_key_errors("tls.crt") == []
    assert names.data_key_errors("..") == ["must not be '..'"]
    assert names.data_key_errors("..a") == ["must not start with '..'"]
    assert names.data_key_errors("a/b")
