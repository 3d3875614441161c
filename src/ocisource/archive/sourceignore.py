r"""Which patterns apply to a layer: the default lists, ``.sourceignore`` files, ``spec.ignore``.

All patterns of ``.sourceignore`` files (the root's first, then the directories' in the order of
a walk), then ``spec.ignore``'s. Is that list empty, the VCS, extension, CI and extra defaults
apply; does it hold a single pattern, only the VCS defaults do, weaker than all of it.

Lines end at ``\n``, a ``\r`` before it is dropped; a line that begins with ``#``, or is blank, is
skipped; leading spaces are significant. A line over 64 KiB ends the reading in silence.
"""

from collections.abc import Iterable, Sequence

from ocisource import errors
from ocisource.archive import gitignore

FILE_NAME = b".sourceignore"
UNSEARCHED = b".git"  # a directory whose ignore files are not read

VCS = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
EXTENSIONS = (
    "*.jpg",
    "*.jpeg",
    "*.gif",
    "*.png",
    "*.wmv",
    "*.flv",
    "*.tar.gz",
    "*.zip",
)
CI = (
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
)
EXTRA = ("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml")

COMMAND_LINE = (*VCS, *EXTENSIONS)  # what --ignore-paths of push, build and diff defaults to

MAX_PATTERNS = 10_000  # of one layer: each is looked at for each directory
MAX_ELEMENTS = 50_000  # of all patterns, the parts between slashes: each is compiled by itself
_MAX_LINE = 65_535  # bytes without the newline, as Go's bufio.Scanner takes them
# Go's unicode.IsSpace (strings.TrimSpace); Python's strip() knows four control characters more.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def parse_lines(data: bytes, *, domain: bytes = b"") -> list[gitignore.Pattern]:
    """The patterns of an ignore file that stands in the directory ``domain``."""
    patterns: list[gitignore.Pattern] = []
    for raw in data.split(b"\n"):
        if len(raw) > _MAX_LINE:
            break
        line = raw.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if not line.startswith("#") and line.strip(_SPACES):
            patterns.append(gitignore.parse(line, domain=domain))
    return patterns


def parse_text(text: str) -> list[gitignore.Pattern]:
    """The patterns of ``spec.ignore``, scoped to the root."""
    return parse_lines(text.encode("utf-8", "replace"))


def parse_list(lines: Iterable[str]) -> list[gitignore.Pattern]:
    """The patterns of a list such as the defaults here or ``--ignore-paths``."""
    return parse_lines("\n".join(lines).encode("utf-8", "surrogateescape"))


def effective(ignore: str | None, files: Sequence[tuple[bytes, bytes]] = ()) -> gitignore.Rules:
    """The rules for a layer with ``spec.ignore`` and ``.sourceignore`` files.

    ``files`` holds (directory, content) pairs, elements of the directory separated by NUL.
    Raises IgnoreRulesError for more than 10 000 patterns, or 50 000 path elements in them.
    """
    patterns: list[gitignore.Pattern] = []
    for domain, content in sorted(files):
        if UNSEARCHED not in domain.split(b"\0"):
            patterns += parse_lines(content, domain=domain)
    patterns += parse_text(ignore or "")
    if len(patterns) > MAX_PATTERNS:
        raise errors.IgnoreRulesError(
            f"the ignore rules hold {len(patterns)} patterns, more than {MAX_PATTERNS}; "
            "join some of them with wildcards"
        )
    elements = sum(len(pattern.steps) for pattern in patterns)
    if elements > MAX_ELEMENTS:
        raise errors.IgnoreRulesError(
            f"the patterns of the ignore rules hold {elements} path elements, more than "
            f"{MAX_ELEMENTS}; shorten them"
        )
    return gitignore.Rules([*_VCS_PATTERNS, *patterns]) if patterns else _DEFAULT_RULES


_VCS_PATTERNS = tuple(parse_list(VCS))
_DEFAULT_RULES = gitignore.Rules(parse_list((*VCS, *EXTENSIONS, *CI, *EXTRA)))
