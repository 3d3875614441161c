"""``WWW-Authenticate`` challenges, read by a state machine.

Grammar (RFC 9110, 11.6.1 and 5.6)::

    WWW-Authenticate = #challenge
    challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
    auth-param       = token BWS "=" BWS ( token / quoted-string )

One header may hold several challenges, commas stand between challenges, between parameters and
inside quoted strings, so only a scanner that knows where it is can tell them apart. What cannot be
read is passed over: a registry that garbles one challenge may still have said another one well.

Example::

    >>> parse(['Basic realm="a, b", Bearer realm="https://x/token",service=x'])[1].parameters
    {'realm': 'https://x/token', 'service': 'x'}
"""

import dataclasses
import string
from collections.abc import Iterable, Mapping

HEADER_MAX = 16 * 1024  # characters of one header value that are looked at
CHALLENGES_MAX = 16  # challenges that are read

_TOKEN = frozenset("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters)
_TOKEN68 = frozenset("-._~+/" + string.digits + string.ascii_letters)
_BLANK = frozenset(" \t")
_PADDING = frozenset("=")


@dataclasses.dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: scheme and parameter names in lower case, values as sent."""

    scheme: str
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def realm(self) -> str:
        """The realm; for Bearer the token service's URL."""
        return self.parameters.get("realm", "")

    @property
    def service(self) -> str:
        """The service a token is asked for."""
        return self.parameters.get("service", "")

    @property
    def scope(self) -> str:
        """The scope the registry wants, "" if it does not say."""
        return self.parameters.get("scope", "")

    @property
    def error(self) -> str:
        """Why a token was refused (RFC 6750, 3.1), e.g. ``insufficient_scope``."""
        return self.parameters.get("error", "")


def parse(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Challenges of all ``WWW-Authenticate`` headers, in order; never raises.

    Of a parameter given twice the first counts.
    """
    challenges: list[Challenge] = []
    for value in values:
        challenges += _Scanner(value[:HEADER_MAX]).challenges()
    return tuple(challenges[:CHALLENGES_MAX])


def first(challenges: Iterable[Challenge], *schemes: str) -> Challenge | None:
    """The first challenge with one of the schemes (lower case)."""
    return next((challenge for challenge in challenges if challenge.scheme in schemes), None)


class _Scanner:
    """Reads one header value from left to right, one element at a time."""

    __slots__ = ("_at", "_found", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[tuple[str, dict[str, str]]] = []

    def challenges(self) -> list[Challenge]:
        self._take(_BLANK | {","})
        while self._peek():
            self._element()
            self._take(_BLANK | {","})
        return [Challenge(scheme, parameters) for scheme, parameters in self._found]

    def _element(self) -> None:
        """One word: with ``=`` behind it a parameter of the last scheme, else a new scheme."""
        word = self._take(_TOKEN).lower()
        self._take(_BLANK)
        if self._peek() == "=":
            self._at += 1
            value = self._value()
            if self._found and word:
                self._found[-1][1].setdefault(word, value)
        elif word:
            self._found.append((word, {}))
            self._pass_token68()
        else:
            self._drop()

    def _value(self) -> str:
        self._take(_BLANK)
        if self._peek() == '"':
            return self._quoted()
        # Laxer than a token: some registries send their realm's URL without quotes.
        start = self._at
        while (char := self._peek()) and char not in _BLANK and char != ",":
            self._at += 1
        return self._text[start : self._at]

    def _quoted(self) -> str:
        """quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE; the last quote may lack."""
        self._at += 1
        characters: list[str] = []
        while (char := self._peek()) and char != '"':
            if char == "\\":
                self._at += 1
                char = self._peek()
            characters.append(char)
            self._at += 1
        self._at += 1
        return "".join(characters)

    def _pass_token68(self) -> None:
        """Pass a token68 that fills the rest of the element, as in ``Negotiate YWJj==``."""
        start = self._at
        self._take(_TOKEN68)
        self._take(_PADDING)
        self._take(_BLANK)
        if self._peek() not in {"", ","}:
            self._at = start  # it is the first parameter

    def _drop(self) -> None:
        while (char := self._peek()) and char != ",":
            if char == '"':
                self._quoted()
            else:
                self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, characters: frozenset[str]) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in characters:
            self._at += 1
        return self._text[start : self._at]
