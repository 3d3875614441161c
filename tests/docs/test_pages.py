"""What the pages for operators say of flags, names and files is true."""

import re

import click
import pytest

from ocisource import serve, settings
from ocisource.cli.replicas import controller, install, replica
from ocisource.manifests import render
from tests.docs import pages

_PAGES = ("install.md", "operating.md", "migrating-from-flux.md", "metrics.md", "conditions.md")
_FOREIGN = {"--all", "--for", "--replicas"}  # kubectl's


def _known() -> set[str]:
    commands: list[click.Command] = [controller.controller, install.install]
    options = {word for each in commands for param in each.params for word in param.opts}
    return options | {f"--{flag.name}" for _, flag, _ in settings.flags()}


@pytest.mark.parametrize("name", _PAGES)
def test_a_page_names_only_flags_that_exist(name: str) -> None:
    """Of the controller and of install."""
    assert set(pages.flags(pages.text(name))) - _known() <= _FOREIGN


@pytest.mark.parametrize("name", _PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """Relative ones, to pages that exist."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", pages.text(name)):
        assert (pages.ROOT / "docs" / target).exists(), target


def test_every_flag_of_install_is_described() -> None:
    """Those that are install's own, and the namespace."""
    described = {pages.code(row[0])[0] for row in pages.rows(pages.text("install.md"))}
    options = (each for each in install.install.params if isinstance(each, click.Option))
    own = {each.opts[-1] for each in options if not each.hidden}
    assert own - {"--kubeconfig", "--context", "--timeout"} == described


def test_service_and_lease_bear_the_names_of_flux() -> None:
    """So that the two controllers exclude each other, as the pages say."""
    assert f"{render.SERVICE_NAME}-leader-election" == replica.LEASE_NAME
    assert render.NAMESPACE == "flux-system"
    services = [each for each in render.render(render.Options()) if each["kind"] == "Service"]
    assert [each["metadata"]["name"] for each in services] == ["source-controller"]
    assert f"`{render.SERVICE_NAME}`" in pages.text("install.md")


def test_figures_and_names_are_the_code_s() -> None:
    """The Lease, the grace period, the defaults that the text quotes."""
    text = pages.text("operating.md")
    defaults = {field: default for field, _, default in settings.flags()}
    assert f"`{replica.LEASE_NAME}`" in text
    assert serve.RUNTIME_NAMESPACE in text
    assert f"({defaults['artifact_retention_records']})" in text
    assert defaults["leader_election_lease_duration"] == 35.0
    assert defaults["leader_election_renew_deadline"] == 30.0
    assert defaults["artifact_retention_ttl"] == 60.0
    # A Pod has 10 s, and the Lease has to be given up within them too.
    assert serve.DRAIN_GRACE + serve.FLUSH_GRACE + serve.DOWNLOAD_GRACE < 9.0
