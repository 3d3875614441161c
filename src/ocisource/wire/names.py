"""Names as Kubernetes checks them (``k8s.io/apimachinery/pkg/util/validation``).

Each ``..._errors`` function returns the list of complaints in Kubernetes' own words, empty when
the name is good; each ``is_...`` function says only yes or no.

::

    label      ::= [a-z0-9]([-a-z0-9]*[a-z0-9])?                 at most 63 characters (RFC 1123)
    subdomain  ::= label ("." label)*                            at most 253 characters
    qualified  ::= [subdomain "/"] [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?   name at most 63
"""

import re

LABEL_LENGTH = 63  # characters
SUBDOMAIN_LENGTH = 253  # characters
QUALIFIED_NAME_LENGTH = 63  # characters, without the prefix
GENERATE_NAME_LENGTH = 58  # characters kept of metadata.generateName: 63 less the random suffix

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DATA_KEY = "[-._a-zA-Z0-9]+"

_label = re.compile(_LABEL)
_subdomain = re.compile(_SUBDOMAIN)
_qualified = re.compile(_QUALIFIED)
_value = re.compile(_VALUE)
_dns1035 = re.compile(_DNS1035)
_data_key = re.compile(_DATA_KEY)


def is_dns_label(name: str) -> bool:
    """Whether the name is an RFC 1123 label (a namespace's name)."""
    return not dns_label_errors(name)


def is_dns_subdomain(name: str) -> bool:
    """Whether the name is an RFC 1123 subdomain (most objects' name)."""
    return not dns_subdomain_errors(name)


def dns_label_errors(name: str) -> list[str]:
    """Complaints about an RFC 1123 label."""
    found = _too_long(name, LABEL_LENGTH)
    if not _label.fullmatch(name):
        found.append(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
            "'-', and must start and end with an alphanumeric character "
            f"{_regex_hint(_LABEL, 'my-name', '123-abc')}"
        )
    return found


def dns_subdomain_errors(name: str) -> list[str]:
    """Complaints about an RFC 1123 subdomain."""
    found = _too_long(name, SUBDOMAIN_LENGTH)
    if not _subdomain.fullmatch(name):
        found.append(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character "
            f"{_regex_hint(_SUBDOMAIN, 'example.com')}"
        )
    return found


def dns1035_label_errors(name: str) -> list[str]:
    """Complaints about an RFC 1035 label (a CRD's plural and singular names)."""
    found = _too_long(name, LABEL_LENGTH)
    if not _dns1035.fullmatch(name):
        found.append(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
            "with an alphabetic character, and end with an alphanumeric character "
            f"{_regex_hint(_DNS1035, 'my-name', 'abc-123')}"
        )
    return found


def qualified_name_errors(name: str) -> list[str]:
    """Complaints about a qualified name: a label's or annotation's key, a finalizer."""
    prefix, slash, rest = name.rpartition("/")
    found: list[str] = []
    if "/" in prefix:
        form = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_qualified_text()} {form}"]
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif prefix:
        found.extend(f"prefix part {text}" for text in dns_subdomain_errors(prefix))
    if not rest:
        found.append("name part must be non-empty")
    elif too_long := _too_long(rest, QUALIFIED_NAME_LENGTH):
        found.append(f"name part {too_long[0]}")
    if not _qualified.fullmatch(rest):
        found.append(f"name part {_qualified_text()}")
    return found


def label_value_errors(value: str) -> list[str]:
    """Complaints about a label's value."""
    found = _too_long(value, LABEL_LENGTH)
    if not _value.fullmatch(value):
        found.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', "
            "'_' or '.', and must start and end with an alphanumeric character "
            f"{_regex_hint(_VALUE, 'MyValue', 'my_value', '12345')}"
        )
    return found


def path_segment_errors(name: str) -> list[str]:
    """Complaints about a name that must at least fit in a URL path (any object's name)."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def data_key_errors(key: str) -> list[str]:
    """Complaints about a key of a ConfigMap's or Secret's data."""
    found = _too_long(key, SUBDOMAIN_LENGTH)
    if not _data_key.fullmatch(key):
        hint = _regex_hint(_DATA_KEY, "key.name", "KEY_NAME", "key-name")
        found.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' " + hint
        )
    if key in {".", ".."}:
        found.append(f"must not be '{key}'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return found


def _qualified_text() -> str:
    return (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        f"alphanumeric character {_regex_hint(_QUALIFIED, 'MyName', 'my.name', '123-abc')}"
    )


def _too_long(text: str, bound: int) -> list[str]:
    return [f"must be no more than {bound} characters"] if len(text) > bound else []


def _regex_hint(expression: str, *examples: str) -> str:
    # The two spaces before "or" are Kubernetes' own.
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"(e.g. {shown}regex used for validation is '{expression}')"
