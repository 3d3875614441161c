"""What clouds say is shown in their words, and no credential with it."""

import pytest

from ocisource.oci.providers import quoting

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2VjcmV0"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"access_token": "SECRET", "exp', '{"access_token": "redacted", "exp'),
        ("{'accessToken': 'SECRET'}", "{'accessToken': 'redacted'}"),
        (r"b'{\"refresh_token\":\"SECRET\"}'", r"b'{\"refresh_token\":\"redacted\"}'"),
        (
            "b'<SecretAccessKey>SECRET/+=</SecretAccessKey><SessionToken>SECRET",
            "b'<SecretAccessKey>redacted</SecretAccessKey><SessionToken>redacted",
        ),
        ('{"authorizationToken":"SECRET"}', '{"authorizationToken":"redacted"}'),
        ("x-amz-security-token:SECRET==", "x-amz-security-token:redacted"),
        ("grant_type=x&client_secret=SECRET&y=1", "grant_type=x&client_secret=redacted&y=1"),
        ("Authorization: Bearer SECRET", "Authorization: Bearer redacted"),
        ("{'Authorization': 'Basic SECRET'}", "{'Authorization': 'Basic redacted'}"),
        ('"password": "SECRET"', '"password": "redacted"'),
        (f"AADSTS50027: {JWT} is not valid", "AADSTS50027: redacted is not valid"),
        ("cannot use ya29.a0Af_SECRET-x", "cannot use redacted"),
        ("at http://u:SECRET@proxy.example/", "at http://redacted@proxy.example/"),
    ],
)
def test_what_looks_like_a_credential_is_cut_out(said: str, shown: str) -> None:
    """Wherever a library quotes what it sent or could not read."""
    assert quoting.words(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "The security token included in the request is expired",
        "invalid_grant: password: wrong user name",
        "no authorization data: the registry has none",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        "AADSTS700016: Application with identifier '1' was not found in the directory",
    ],
)
def test_a_clouds_own_words_stay(said: str) -> None:
    """They are what the user has to go by."""
    assert quoting.words(said) == said


def test_named_values_are_cut_out_as_they_are_and_as_urls_carry_them() -> None:
    """Before the text is shortened, the longest first; what is too short is in any text."""
    said = "sent se/cret and se%2Fcret and se/cret-longer, a"
    known = ("se/cret", "se/cret-longer", "a", "")
    assert quoting.words(said, secrets=known) == "sent redacted and redacted and redacted, a"


def test_the_environments_credentials_are_cut_out() -> None:
    """Whichever cloud quotes them; other variables are no secrets."""
    environ = {"AZURE_CLIENT_SECRET": "hunter22", "AZURE_CLIENT_ID": "client"}
    assert quoting.words("client shows hunter22", environ=environ) == "client shows redacted"


def test_a_long_message_is_one_bounded_line() -> None:
    """Libraries write pages."""
    shown = quoting.words("\n".join(f"line {number} {'x' * 1000}" for number in range(100)))
    assert "\n" not in shown
    assert len(shown) <= quoting.LINES * 257


def test_a_secret_that_the_bound_cuts_in_two_is_not_shown() -> None:
    """Only whole words are looked at."""
    blank = "\n" * (quoting.TEXT_MAX - 10)
    assert quoting.words(f"no{blank}s3cret-value", secrets=("s3cret-value",)) == "no"
