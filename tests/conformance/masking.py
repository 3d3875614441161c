"""What differs from run to run is masked: times, ages, identities, ports, versions of objects."""

import json
import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), shown)
    for pattern, shown in (
        (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", "<time>"),
        (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d+ \+\d{4}", "<time>"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
        (r"127\.0\.0\.1:\d+", "<address>"),
        (r"(resourceVersion\\?\"?: ?)[\\\"']*\d+[\\\"']*", r"\1<version>"),
        (r"(Resource Version: +)\d+", r"\1<version>"),
        (r"(ResourceVersion in (?:precondition|record) \()\d+\)", r"\1<version>)"),
        (r"/tmp/(LIVE|MERGED)-\d+", r"<\1>"),
        (r"gen-[a-z0-9]{5}\b", "gen-<suffix>"),
        # klog's prefix: date, time and process.
        (r"^([WEIF])\d{4} \d{2}:\d{2}:\d{2}\.\d+ +\d+ ", r"\1<log> "),
        (r"(?<=[ (])(\d+[smhdy]){1,2}( ago)?(?=$| )", "<age>"),
        (r"^((\d+[smhdy]){1,2})(?= )", "<age>"),
        (r"<age> \(x(\d+) over \w+\)", r"<age> (x\1)"),
        # kubectl pads its columns to the widest cell, and ages differ in width.
        (r"(?<=\S)  +", "  "),
        (r" +$", ""),
    )
)


_AGE = re.compile(r"(\d+[smhdy]){1,2}")


def is_age(text: str) -> bool:
    """Whether a text is an age and nothing else, as a cell of a Table may be."""
    return _AGE.fullmatch(text) is not None


def mask(text: str) -> str:
    """The text with placeholders for what no two runs share."""
    for pattern, shown in _RULES:
        text = pattern.sub(shown, text)
    return text


def canonical(text: str) -> str:
    """JSON on one line with its keys sorted; any other text as it is."""
    if not text.startswith("{") or text.count("\n") > 1:
        return text
    try:
        return json.dumps(json.loads(text), sort_keys=True) + text[len(text.rstrip()) :]
    except ValueError:
        return text


def in_any_order(text: str) -> str:
    """Lists of errors, sorted: the real server walks maps in random order."""

    def sort_lines(match: re.Match[str]) -> str:
        return "".join(sorted(match[0].splitlines(keepends=True)))

    def sort(match: re.Match[str]) -> str:
        return f"[{', '.join(sorted(re.split(_BETWEEN_ERRORS, match[1])))}]"

    text = re.sub(r"(^\* .*\n)+", sort_lines, text, flags=re.MULTILINE)
    return re.sub(r"(?<=is invalid: )\[(.*)\](?=$)", sort, text, flags=re.MULTILINE)


# Field errors are separated by a comma and the next one's path.
_BETWEEN_ERRORS = r", (?=[a-zA-Z<][\w.\[\]<>-]*: )"
