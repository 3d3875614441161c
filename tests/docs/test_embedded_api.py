"""What the page of the embedded API says of names, sizes and times is true."""

import re

from ocisource.apiserver import janitor
from ocisource.apiserver.builtin import builtins
from ocisource.apiserver.forms import bodies
from ocisource.apiserver.history import database, store
from ocisource.apiserver.identity import access, certificates, kubeconfig
from ocisource.manifests import load
from tests.docs import pages

_PAGE = "embedded-api.md"


def test_sizes_and_times_are_those_of_the_code() -> None:
    """History, events, bodies, certificates."""
    text = " ".join(pages.text(_PAGE).split())
    assert f"Bodies above {bodies.MAX_BODY >> 20} MiB are refused" in text
    assert f"renewed {certificates.RENEW_DAYS} days before its end" in text
    assert ("lasts a year" in text, certificates.SERVER_DAYS) == (True, 365)
    assert ("History** of five minutes" in text, store.HISTORY_SECONDS) == (True, 300.0)
    assert ("Events go after an hour" in text, janitor.EVENT_SECONDS) == (True, 3600.0)


def test_the_shipped_definition_asks_for_nothing_that_is_left_out() -> None:
    """No rule in CEL and no scale: what is checked of an OCIRepository is all there is to check."""
    text = load.text(load.CRD)
    assert "x-kubernetes-validations" not in text
    assert all(each["subresources"] == {"status": {}} for each in load.crd()["spec"]["versions"])


def test_files_are_called_so() -> None:
    """Kubeconfigs, tokens, the data file."""
    text = pages.text(_PAGE)
    tokens = f"{certificates.FOLDER}/{kubeconfig.TOKENS}"
    for name in (kubeconfig.FILE_NAME, kubeconfig.READER_FILE_NAME, tokens):
        assert f"`{name}`" in text
    assert database.FILE_NAME in text


def test_every_kind_is_named() -> None:
    """Those that are stored."""
    text = pages.text(_PAGE)
    stored = {each.resource.kind for each in builtins.BUILTINS if "list" in each.resource.verbs}
    assert all(f"{kind}s" in text for kind in stored), stored
    assert {"get", "list", "watch"} == access.READ_VERBS


def test_links_lead_somewhere() -> None:
    """From the README to the page, and from the page to the list of differences."""
    assert f"docs/{_PAGE}" in (pages.ROOT / "README.md").read_text()
    for path in re.findall(r"`(tests/[\w/.]+)`", pages.text(_PAGE)):
        assert (pages.ROOT / path).exists()
