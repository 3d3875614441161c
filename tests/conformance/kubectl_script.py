"""The kubectl script: steps read from ``kubectl.yaml``, run in order against one server."""

import dataclasses
import pathlib
import shlex
import typing
from collections.abc import Mapping, Sequence

import yaml

from tests.conformance import masking, subjects
from tests.parts import commands

NAMESPACE = "conf"
_FILE = pathlib.Path(__file__).with_name("kubectl.yaml")


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One invocation; ``line`` is what stands after ``kubectl``.

    ``since`` is the minor version of kubectl that has what the line asks for.
    """

    name: str
    line: str
    since: int = 0
    stdin: str | None = None
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)


def load(*, client: int = subjects.NEWEST_MINOR) -> tuple[Step, ...]:
    """The steps for a minor version of kubectl, in their order."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    steps = (Step(line=entry.pop("run"), **entry) for entry in entries)
    return tuple(step for step in steps if step.since <= client)


def run(
    subject: subjects.Subject, steps: Sequence[Step], *, home: pathlib.Path
) -> dict[str, dict[str, object]]:
    """Masked stdout, stderr and exit code of each step, by its name."""
    program, environ = subjects.find_kubectl(), subjects.environ(subject, home)
    answers: dict[str, dict[str, object]] = {}
    for step in steps:
        done = commands.run(
            [program, "--namespace", NAMESPACE, *shlex.split(step.line)],
            environ={**environ, **step.environ},
            folder=home,
            stdin=step.stdin,
            is_checked=False,
        )
        answers[step.name] = {
            "stdout": masking.mask(masking.canonical(done.stdout)),
            "stderr": masking.in_any_order(masking.mask(done.stderr)),
            "code": done.code,
        }
    return answers


def widgets(group: str) -> dict[str, object]:
    """The definition of the script's custom resource, in a group of one's own.

    Without short names and categories: they would be ambiguous on a server that has both.
    """
    step = next(step for step in load() if step.name == "definition created")
    text = (step.stdin or "").replace("example.com", group)
    document: dict[str, typing.Any] = yaml.safe_load(text)
    for shared in ("shortNames", "categories"):
        document["spec"]["names"].pop(shared, None)
    return document
