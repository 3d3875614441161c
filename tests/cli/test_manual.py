"""Help, the manual, completion, and how wrong command lines end."""

import inspect
import os
import pathlib
import subprocess
import sys

import click
import pytest

import ocisource
from ocisource.cli import grammar, main, manual
from tests.cli import terminal

_NOBODY = """
current-context: a
contexts: [{name: a, context: {cluster: a}}]
clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]
"""
_DOCS = pathlib.Path(__file__).parents[2] / "docs"


def leaves(
    command: click.Command | None = None, words: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    """The words of every command and group."""
    command = command or main.root
    found = [words]
    if isinstance(command, grammar.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found += leaves(command.get_command(context, name), (*words, name))
    return found


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_has_help_with_examples(
    shell: terminal.Shell, words: tuple[str, ...]
) -> None:
    """--help goes to standard output, says what the command is for, and shows how it is used."""
    result = shell(*words, "--help")
    assert (result.code, result.err) == (0, "")
    assert "ocisource" in result.out.partition("xample")[2] or "Try it" in result.out
    for line in result.out.splitlines():
        assert len(line) <= 100


def test_the_pages_are_as_the_commands_are() -> None:
    """`make docs` would change nothing."""
    wanted = manual.pages()
    found = {path.name: path.read_text() for path in (_DOCS / manual.FOLDER).glob("*.md")}
    assert found == wanted


def test_pages_of_commands_that_are_gone_are_removed(tmp_path: pathlib.Path) -> None:
    """Only what there is has a page."""
    (tmp_path / manual.FOLDER).mkdir()
    (tmp_path / manual.FOLDER / "ocisource-old.md").write_text("old")
    manual.write(tmp_path)
    assert {path.name for path in (tmp_path / manual.FOLDER).iterdir()} == set(manual.pages())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["gt"], "unknown command 'gt' for 'ocisource', did you mean 'get'? (see 'ocisource --h"),
        (["get", "sources", "git"], "unknown command 'git' for 'ocisource get sources' (see "),
        (["get", "sources", "oci", "--bla"], "No such option '--bla'"),
        (["get", "sources", "oci", "a", "b"], "Got unexpected extra argument (b) (see '"),
        (["get", "sources", "oci", "--timeout", "x"], "Invalid value for '--timeout': 'x' is not"),
        (["events", "-o", "toml"], "Invalid value for '-o' / '--output': 'toml' is not one of"),
        (["delete", "-f"], "Option '-f' requires an argument"),
    ],
)
def test_wrong_command_lines(shell: terminal.Shell, words: list[str], text: str) -> None:
    """One line that says where help is, exit code 2."""
    result = shell(*words)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"✗ {text}")


@pytest.mark.parametrize("words", [[], ["get"], ["create", "secret"], ["delete"]])
def test_groups_alone_show_their_help(shell: terminal.Shell, words: list[str]) -> None:
    """As flux does, with exit code 0."""
    result = shell(*words)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Usage: ocisource")


def test_no_cluster_at_all(shell: terminal.Shell) -> None:
    """The text says how to get one."""
    result = shell("get", "sources", "oci")
    assert result.code == 2
    assert result.err.startswith("✗ no Kubernetes configuration found, and no embedded server")
    assert "'ocisource up'" in result.err


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (None, 2, 'kubeconfig "config": no such file'),
        ("{", 2, 'kubeconfig "config" is not YAML in line '),
        ("users: {}", 2, "the kubeconfig has no current context: choose one with --context"),
        (
            _NOBODY,
            1,
            "cannot connect to the API server 127.0.0.1:1: connection refused; is it running, and ",
        ),
    ],
)
def test_kubeconfigs_that_do_not_work(
    shell: terminal.Shell, content: str | None, code: int, text: str
) -> None:
    """Missing, malformed, empty, and a server that is not there."""
    if content is not None:
        pathlib.Path("config").write_text(content)
    for words in (["get", "sources", "oci"], ["stats"], ["export", "source", "oci", "a"]):
        result = shell(*words, "--kubeconfig", "config")
        if words == ["stats"] and code == 1:
            continue  # what cannot be listed counts as nothing
        assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
        assert result.err.startswith(f"✗ {text}")


def test_namespaces(shell: terminal.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """-n before or after the command, then the environment, then flux-system."""
    words = ("create", "source", "oci", "a", "--url", "oci://a.b/cd", "--tag", "v", "--export")
    assert "namespace: flux-system\n" in shell(*words).out
    assert "namespace: apps\n" in shell("-n", "apps", *words).out
    assert "namespace: web\n" in shell("-n", "apps", *words, "-n=web").out
    monkeypatch.setenv("FLUX_SYSTEM_NAMESPACE", "sys")
    assert "namespace: sys\n" in shell(*words).out
    monkeypatch.setenv("FLUX_SYSTEM_NAMESPACE", "Not A Label")
    ignored = shell(*words)
    assert ignored.err == '⚠️  ignoring invalid FLUX_SYSTEM_NAMESPACE: "Not A Label"\n'
    assert "namespace: flux-system\n" in ignored.out
    wrong = shell(*words, "-n", "Nope")
    assert (wrong.code, wrong.err) == (2, '✗ namespace must be a valid DNS label: "Nope"\n')


def test_switches_take_values(shell: terminal.Shell) -> None:
    """--export=true and --export=false, as in flux."""
    words = ("create", "source", "oci", "a", "--url", "oci://a.b/cd", "--tag", "v")
    assert shell(*words, "--export=true").code == 0
    assert shell(*words, "--export=false").code == 2  # there is no cluster


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(shell: terminal.Shell, name: str) -> None:
    """The script asks the program, which knows all words."""
    result = shell("completion", name)
    assert result.code == 0
    assert "_OCISOURCE_COMPLETE" in result.out
    environ = terminal.plain_environ(
        pathlib.Path(),
        _OCISOURCE_COMPLETE="bash_complete",
        COMP_WORDS="ocisource get ",
        COMP_CWORD="2",
    )
    code = "from ocisource.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "plain,sources\n"


def test_the_version(shell: terminal.Shell) -> None:
    """With and without a dash, and as data."""
    assert shell("version").out == f"ocisource: v{ocisource.__version__}\n"
    assert shell("--version").out == f"ocisource version {ocisource.__version__}\n"
    assert ocisource.__version__ in shell("version", "-o", "json").out


def test_a_reader_that_leaves_is_no_failure(tmp_path: pathlib.Path) -> None:
    """`ocisource … | head -1` ends quietly."""
    code = "from ocisource.cli.main import main; main()"
    environ = terminal.plain_environ(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, "version"],
            env=environ,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def command_of(words: tuple[str, ...]) -> click.Command:
    """The command that the words name."""
    command: click.Command = main.root
    for word in words:
        assert isinstance(command, grammar.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


def test_options_may_stand_before_the_last_words(shell: terminal.Shell) -> None:
    """As in flux, whether they take a value or not; help and wrong words stay what they are."""
    tail = ("a", "--url", "oci://a.b/cd", "--tag", "v")
    usual = shell("create", "source", "oci", *tail, "-n", "apps", "--export")
    for words in (
        ("create", "-n", "apps", "--export", "source", "oci"),
        ("create", "source", "--export=true", "--namespace=apps", "oci"),
        ("-n", "apps", "create", "--export", "source", "--interval", "1m", "oci"),
    ):
        assert shell(*words, *tail) == usual
    assert shell("get", "--help", "sources").out.startswith("Usage: ocisource get sources ")
    assert shell("get", "-A", "repos").err.startswith("✗ unknown command 'repos' for 'ocisource g")
    assert shell("delete", "-n", "apps", "source", "oci").err == "✗ source oci name is required\n"
    assert shell("delete", "-f", "nix.yaml").err == "✗ nix.yaml: No such file or directory\n"


def test_switches_are_known_without_loading_commands() -> None:
    """The table of them is what the commands below groups have."""
    found = {"-h", "--help"}
    for words in leaves():
        if len(words) > 1:
            for option in command_of(words).params:
                if isinstance(option, click.Option) and option.is_flag:
                    found |= {*option.opts, *option.secondary_opts}
    assert found == grammar.SWITCHES


def test_options_are_documented() -> None:
    """Every option that is shown says what it means."""
    for words in leaves():
        command = command_of(words)
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{words}: {option.name}"
        assert inspect.cleandoc(command.help or "")
