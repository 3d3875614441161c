"""What a cloud or its library says, fit to be shown: its own words without any credential in them.

Libraries quote what they were given (an assertion, a signed header) and what they could not read
(an answer that was cut off, token and all). Three rules cut credentials out, before any text is
shortened:

1. the values that the caller names, plain and as a URL would carry them;
2. the values of the environment's variables that hold credentials;
3. whatever looks like one: a JWT, a token of Google's, the value of a field with a telling name, in
   JSON, XML or a form.
"""

import re
import urllib.parse
from collections.abc import Collection, Mapping

from ocisource.net import redact

LINES = 8  # of a library's message that are shown
TEXT_MAX = 256 * 1024  # characters of a message that are looked at
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "IDENTITY_HEADER",
    "MSI_SECRET",
)
_SECRET_MIN = 4  # characters; shorter values would be found in any text
_MARK = "redacted"
_NAMES = (
    "(?:access|refresh|id|subject|session|web_?identity|authorization)_?token|x-amz-security-token"
    "|client_?secret|client_?assertion|secret_?access_?key|private_?key"
)
# Between name and value: quotes (escaped ones too), a colon or equals sign, or the tag's end.
_FIELD = re.compile(
    rf"(?P<before>(?:\b(?:{_NAMES})(?:\\?[\"'])?(?:\s*[:=]\s*|>)"
    r"|\bpassword(?:\\?[\"']\s*:\s*|=|>)"
    r"|\bauthorization(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?(?:bearer|basic|aws4-hmac-sha256)\s+)"
    r"(?:\\?[\"'])?)[^\s\"'<>&,;}\\]+",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)*|\bya29\.[\w.-]+")


def words(
    text: str, *, secrets: Collection[str] = (), environ: Mapping[str, str] | None = None
) -> str:
    """A message on one line, bounded, without what is secret."""
    if len(text) > TEXT_MAX:
        # What was cut in two would no longer be known as a secret.
        text = (text[:TEXT_MAX].rsplit(maxsplit=1) or [""])[0]
    known = {*secrets, *((environ or {}).get(name, "") for name in VARIABLES)}
    known |= {urllib.parse.quote(each, safe="") for each in known}
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SECRET_MIN:
            text = text.replace(secret, _MARK)
    text = _TOKEN.sub(_MARK, text)
    text = _FIELD.sub(rf"\g<before>{_MARK}", text)
    lines = [redact.foreign(line) for line in text.splitlines() if line.strip()]
    return " ".join(lines[:LINES])
