"""Our matcher against ``git check-ignore``, where the two dialects agree.

They agree on exclusions without ``**`` before more than one element, and on inclusions of plain
file names as long as no directory above is excluded. Names of directories and of files do not
overlap here, and files alone are asked about: a trailing ``**`` takes the directory itself along
in our dialect only.
"""

import pathlib
import random
from collections.abc import Callable

import pytest

from ocisource.archive import gitignore, sourceignore
from tests.parts import git

DIRECTORIES = ["a", "b", "c", "ab", ".d", "e f"]
FILES = ["x.md", "y.yaml", ".z", "x-1.md", "[q]", "long.name.txt", "#h", "!n"]
DIRECTORY_GLOBS = [*DIRECTORIES, "*", "a*", "?", "[a-c]", "[^a]", ".*", "*b", "\\a"]
FILE_GLOBS = ["*.md", "x*", "?.yaml", ".z", "[xy].*", "*", "\\[q]", "\\#h", "\\!n", "*.*.*"]


def _path(rng: random.Random) -> str:
    return "/".join([*rng.choices(DIRECTORIES, k=rng.randrange(4)), rng.choice(FILES)])


def _exclusion(rng: random.Random) -> str:
    """A pattern that both read alike."""
    folder = rng.choice(DIRECTORY_GLOBS)
    name = rng.choice([*FILE_GLOBS, *DIRECTORY_GLOBS])
    return rng.choice(
        [
            name,
            f"{folder}/",
            f"/{name}",
            f"/{folder}/",
            f"{folder}/{name}",
            f"/{folder}/{rng.choice(DIRECTORY_GLOBS)}/{name}",
            f"**/{name}",
            f"**/{folder}/",
            f"{rng.choice(DIRECTORIES)}/**",  # a file of that name would differ
            f"{folder}/**/{name}",
            f"/{folder}/**/{rng.choice(DIRECTORY_GLOBS)}/",
            f"{folder}/*/{name}",
            f"{name}   ",
            "# comment",
            "",
            f" {name}",
            "n[",
        ]
    )


def _inclusion(rng: random.Random) -> str:
    name = rng.choice(["x.md", "y.yaml", "x-1.md", "long.name.txt"])
    return rng.choice([f"!{name}", f"!/{name}", f"!{rng.choice(DIRECTORIES)}/{name}"])


def _judge(rules: gitignore.Rules, path: str) -> tuple[bool, bool]:
    """Whether the file is excluded, and whether any directory above it is."""
    scope = rules.root()
    *above, name = path.split("/")
    walked: list[str] = []
    is_below = False
    for element in above:
        walked.append(element)
        scope = scope.child(element.encode(), path="\0".join(walked).encode())
        is_below = is_below or scope.is_excluded
    return scope.tester()(name.encode()), is_below


@pytest.mark.soak
def test_both_exclude_the_same_files(
    tmp_path: pathlib.Path,
    new_git: Callable[[pathlib.Path], git.Git],
    counts: Callable[[int, int], int],
) -> None:
    """Random pattern files in random directories, a hundred random paths each."""
    repository = new_git(tmp_path / "work")
    compared = 0
    for seed in range(counts(3000, 60)):
        rng = random.Random(seed)
        has_inclusions = seed % 2 == 0
        contents: dict[str, list[str]] = {}
        for folder in ("", "a", "a/b", "c"):
            if folder == "" or rng.random() < 0.4:
                lines = [_exclusion(rng) for _ in range(rng.randint(1, 4))]
                if has_inclusions:
                    lines.insert(rng.randint(0, len(lines)), _inclusion(rng))
                contents[folder] = lines
        for folder in ("", "a", "a/b", "c"):
            file = repository.folder / folder / ".gitignore"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(contents.get(folder, [])) + "\n")
        patterns = [
            pattern
            for folder in sorted(contents, key=lambda name: name.split("/") if name else [])
            for pattern in sourceignore.parse_lines(
                "\n".join(contents[folder]).encode(), domain=folder.replace("/", "\0").encode()
            )
        ]
        rules = gitignore.Rules(patterns)
        paths = sorted({_path(rng) for _ in range(100)})
        done = repository.run(
            "check-ignore", "--no-index", "-z", "--stdin", stdin="\0".join(paths), is_checked=False
        )
        assert done.code in (0, 1), done.stderr
        ignored = set(done.stdout.split("\0"))
        for path in paths:
            ours, is_below = _judge(rules, path)
            if has_inclusions and is_below:
                continue  # git prunes there, we do not
            compared += 1
            assert ours is (path in ignored), (path, contents)
    assert compared > 1000
