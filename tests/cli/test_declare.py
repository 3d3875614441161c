"""Manifests from files."""

import errno
import pathlib

import pytest

from ocisource import errors
from ocisource.cli.machines import declare
from tests.cli import terminal

NAMED = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: {value}\n"


def write(path: pathlib.Path, *objects: tuple[str, str]) -> pathlib.Path:
    """A file with ConfigMaps of these names and values."""
    path.write_text("---\n".join(NAMED.format(name=name, value=value) for name, value in objects))
    return path


def test_an_object_that_is_declared_twice_differently_is_refused(tmp_path: pathlib.Path) -> None:
    """The line names both files; neither of them wins silently."""
    first = write(tmp_path / "1.yaml", ("a", "x"))
    second = write(tmp_path / "2.yaml", ("b", "x"), ("a", "y"))
    with pytest.raises(errors.UsageError) as caught:
        declare.read([tmp_path])
    assert caught.value.text == (
        f"{second}: ConfigMap 'a' is declared twice, differently (first in {first}):"
        " keep one of them"
    )


def test_the_same_file_given_twice_counts_once(tmp_path: pathlib.Path) -> None:
    """As with `-f folder -f folder/file`."""
    file = write(tmp_path / "1.yaml", ("a", "x"), ("b", "x"))
    assert [each.name for each in declare.read([tmp_path, file])] == ["a", "b"]


def test_a_namespace_that_is_not_there_is_told_with_what_to_do(
    embedded_api: pathlib.Path, shell: terminal.Shell
) -> None:
    """Nobody makes it by itself: it may be a slip."""
    shell.use(embedded_api, namespace="default")
    named = NAMED.format(name="a", value="x").replace("name: a", "name: a\n  namespace: nix")
    pathlib.Path("a.yaml").write_text(named)
    result = shell("apply", "-f", "a.yaml")
    assert (result.code, result.err) == (
        1,
        '✗ a.yaml: namespaces "nix" not found; declare it as well (kind: Namespace)\n',
    )


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (
            "OCIRepository",
            "known of this kind are source.toolkit.fluxcd.io/v1, source.toolkit.fluxcd.io/v1beta2",
        ),
        ("Pod", "known are ConfigMap, Namespace, OCIRepository, Secret, ServiceAccount"),
    ],
)
def test_what_cannot_be_applied_is_told_with_what_can(
    tmp_path: pathlib.Path, kind: str, known: str
) -> None:
    """Versions where the kind is right, else kinds."""
    file = tmp_path / "a.yaml"
    file.write_text(f"apiVersion: v9\nkind: {kind}\nmetadata: {{name: a}}\n")
    with pytest.raises(errors.UsageError) as caught:
        declare.read([file])
    told = f"{file}: apiVersion 'v9', kind '{kind}' cannot be applied here; {known}"
    assert str(caught.value) == told


def test_a_tab_is_told(tmp_path: pathlib.Path) -> None:
    """With its line; the parser's own words would be about tokens."""
    file = tmp_path / "tabs.yaml"
    file.write_text("apiVersion: v1\nmetadata:\n\tname: a\n")
    with pytest.raises(errors.UsageError) as caught:
        declare.read([file])
    assert str(caught.value) == f"{file}: line 3: a tab in the indentation; YAML takes spaces alone"


def test_a_folder_that_nobody_lets_us_look_into_is_told(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wrong argument."""

    def closed(self: pathlib.Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, "is_dir", closed)
    with pytest.raises(errors.UsageError) as caught:
        declare.read([tmp_path])
    assert str(caught.value) == f"{tmp_path}: Permission denied"


@pytest.mark.parametrize("text", ["", "---\n---\n", "# nothing\n"])
def test_a_file_without_an_object_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    """`up --once` must not succeed because a template came out empty."""
    file = tmp_path / "empty.yaml"
    file.write_text(text)
    with pytest.raises(errors.UsageError, match="no object in it"):
        declare.read([file])
