"""How long to wait before trying again.

Delays grow by a factor up to a cap, and are spread by a random part so that clients that failed
together do not come back together. A server's ``Retry-After`` (RFC 9110, 10.2.3: seconds, or an
HTTP-date) is obeyed up to 15 minutes.
"""

import dataclasses
import datetime
import email.utils
import random

RETRY_AFTER_CAP = 900.0  # seconds; a longer wish is a mistake or an attack
_RETRY_AFTER_DIGITS = 19  # more digits are cut off by the cap anyway


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential delays.

    ``initial`` seconds before the first retry, each next one ``factor`` times longer, none above
    ``cap`` seconds, each spread by ±``jitter`` of itself; ``attempts`` counts the first try too.
    """

    initial: float = 1.0
    factor: float = 3.0
    cap: float = 30.0
    jitter: float = 0.1
    attempts: int = 3

    def delay(self, retry: int, *, rng: random.Random) -> float:
        """Seconds to wait before retry number ``retry`` (0 is the first); never above the cap."""
        try:
            base = self.initial * self.factor**retry
        except OverflowError:
            base = self.cap
        base = min(base, self.cap)
        return min(self.cap, base * (1 + self.jitter * (2 * rng.random() - 1)))


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, between 0 and 900; None if it says nothing.

    ``now`` is the time in seconds since the epoch that a date is compared with; unreadable values
    count as absent.
    """
    text = (value or "").strip()
    if not text:
        return None
    # RFC 9110 wants whole seconds; some proxies send fractions.
    whole, _, fraction = text.partition(".")
    if whole.isascii() and whole.isdigit() and (not fraction or _is_digits(fraction)):
        if len(whole.lstrip("0")) > _RETRY_AFTER_DIGITS:
            return RETRY_AFTER_CAP
        return min(float(f"{whole}.{fraction[:9] or 0}"), RETRY_AFTER_CAP)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:  # "-0000", and dates without a zone: HTTP means GMT
            moment = moment.replace(tzinfo=datetime.UTC)
        seconds = moment.timestamp() - now
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_CAP)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
