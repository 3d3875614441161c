"""`get sources`: tables, data, selectors, and what is said when there is nothing."""

import json
import pathlib
import sys

import yaml

from tests.cli import terminal
from tests.parts import commands

DIGEST = terminal.DIGEST


def test_the_table_is_as_flux_prints_it(cluster: terminal.Shell) -> None:
    """Cells are padded and separated by TABs, long hex is cut, rows end with a TAB."""
    cluster.put("thrfg", status=terminal.ready(f"stored artifact for digest '{DIGEST}'"))
    result = cluster.here("get", "sources", "oci")
    assert result.out == (
        "NAME \tREVISION             \tSUSPENDED\tREADY\tMESSAGE                              \n"
        "thrfg\t6.3.5@sha256:6c959c51\tFalse    \tTrue \tstored artifact for digest '6c959c51'\t\n"
    )
    assert (result.code, result.err) == (0, "")


def test_an_object_nobody_has_looked_at(cluster: terminal.Shell) -> None:
    """Without a Ready condition it waits to be reconciled."""
    cluster.put("new", spec={"suspend": True})
    result = cluster.here("get", "source", "oci", "new", "--no-header")
    assert result.out == "new\t\tTrue\tFalse\twaiting to be reconciled\t\n"


def test_all_namespaces_have_a_column(cluster: terminal.Shell) -> None:
    """With -A the namespace comes first."""
    cluster.put("app", status=terminal.ready(), labels={"only": cluster.namespace})
    result = cluster("get", "sources", "oci", "-A", "-l", f"only={cluster.namespace}")
    header, row = result.out.splitlines()
    assert header.split("\t")[0].strip() == "NAMESPACE"
    assert [cell.strip() for cell in row.split("\t")][:2] == [cluster.namespace, "app"]


def test_status_selectors(cluster: terminal.Shell) -> None:
    """An absent condition equals nothing: = drops it, != keeps it."""
    cluster.put("good", status=terminal.ready())
    cluster.put("new")
    equal = cluster.here("get", "sources", "oci", "--status-selector", "READY=true", "--no-header")
    assert equal.out.split("\t")[0].strip() == "good"
    assert len(equal.out.splitlines()) == 1
    other = cluster.here("get", "sources", "oci", "--status-selector", "ready!=True", "--no-header")
    assert [line.split("\t")[0].strip() for line in other.out.splitlines()] == ["new"]
    none = cluster.here("get", "sources", "oci", "--status-selector", "ready=Unknown")
    assert (none.code, none.out) == (0, "NAME\tREVISION\tSUSPENDED\tREADY\tMESSAGE\n")


def test_nothing_found(cluster: terminal.Shell) -> None:
    """Exit code 1 and flux's words, with and without a name, in one and in any namespace."""
    ns = cluster.namespace
    result = cluster.here("get", "sources", "oci")
    assert result.err == f'✗ no OCIRepository objects found in "{ns}" namespace\n'
    assert (result.code, result.out) == (1, "")
    named = cluster.here("get", "sources", "oci", "nix")
    assert named.err == f"✗ OCIRepository object 'nix' not found in \"{ns}\" namespace\n"
    anywhere = cluster("get", "sources", "oci", "-A", "-l", f"a={ns}")
    assert anywhere.err == "✗ no OCIRepository objects found in any namespace\n"


def test_data(cluster: terminal.Shell) -> None:
    """-o gives the objects themselves, a named one alone, without managed fields."""
    cluster.put("app", status=terminal.ready())
    listed = json.loads(cluster.here("get", "sources", "oci", "-o", "json").out)
    assert listed["kind"] == "List"
    (obj,) = listed["items"]
    assert obj["status"]["artifact"]["size"] == 1536
    assert "managedFields" not in obj["metadata"]
    one = yaml.safe_load(cluster.here("get", "sources", "oci", "app", "-o", "yaml").out)
    assert one == obj


def test_all_kinds(cluster: terminal.Shell) -> None:
    """Kinds that are not there are passed over, names carry their kind."""
    cluster.put("app", status=terminal.ready("stored"))
    result = cluster.here("get", "sources", "all")
    lines = result.out.splitlines()
    assert lines[1].split("\t")[0].strip() == "ocirepository/app"
    assert lines[2] == ""
    assert (result.code, result.err) == (0, "")


def test_a_watch_shows_what_stands_first(cluster: terminal.Shell) -> None:
    """Each object is laid out by itself, the header once; an interrupt ends it."""
    cluster.put("a", status=terminal.ready("x"))
    cluster.put("longer", status=terminal.ready("x"))
    result = cluster.here("get", "sources", "oci", "--watch", lines=3)
    assert result.code == 130
    lines = result.out.splitlines()
    assert lines[0].startswith("NAME")
    assert {line.split("\t")[0].strip() for line in lines[1:]} == {"a", "longer"}


def test_a_watch_ends_well_when_its_time_is_over(cluster: terminal.Shell) -> None:
    """Whatever was there to see by then."""
    for words in (("get", "sources", "oci"), ("events",)):
        result = cluster.here(*words, "--watch", "--timeout", "100ms")
        assert (result.code, result.err) == (0, "")


def test_wrong_selectors_are_usage_errors(cluster: terminal.Shell) -> None:
    """They are reported whether there are objects or not."""
    result = cluster.here("get", "sources", "oci", "--status-selector", "ready")
    assert result.err == (
        "✗ expected status selector in type=status or type!=status format, but found: ready\n"
    )
    assert result.code == 2
    labels = cluster.here("get", "sources", "oci", "-l", "a=(")
    assert labels.code == 2
    assert labels.err.startswith("✗ unable to parse label selector: ")
    watched = cluster.here("get", "sources", "all", "--watch")
    assert watched.err == "✗ expected a single resource type, but found all\n"


def test_names_and_contexts_are_completed(cluster: terminal.Shell, tmp_path: pathlib.Path) -> None:
    """A shell is given the names of the namespace, and the kubeconfig's contexts."""
    cluster.put("apple")
    cluster.put("banana")
    words = f"ocisource -n {cluster.namespace} suspend source oci"
    for typed, count, found in (
        (f"{words} a", "6", ["plain,apple"]),
        (f"{words} ", "6", ["plain,apple", "plain,banana"]),
        ("ocisource get sources oci --context zzz", "5", []),
        ("ocisource -n nowhere get sources oci ", "6", []),
    ):
        environ = terminal.plain_environ(
            tmp_path,
            KUBECONFIG=str(cluster.kubeconfig),
            _OCISOURCE_COMPLETE="bash_complete",
            COMP_WORDS=typed,
            COMP_CWORD=count,
        )
        code = "from ocisource.cli.main import main; main()"
        done = commands.run([sys.executable, "-c", code], environ=environ)
        assert done.stdout.split() == found
