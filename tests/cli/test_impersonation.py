"""Acting as somebody else: the flags as a server understands them."""

import asyncio
import pathlib
import typing
import uuid

import pytest

from ocisource import errors
from ocisource.cli import choice
from ocisource.cli import cluster as clusters
from ocisource.kube import client, resources
from tests.cli import terminal
from tests.parts import kubernetes, processes

Document = dict[str, typing.Any]
REVIEWS: resources.Resource[Document] = resources.Resource(
    "authentication.k8s.io",
    "v1",
    "selfsubjectreviews",
    "SelfSubjectReview",
    dict,
    is_namespaced=False,
)


def who(chosen: choice.Chosen) -> Document:
    """Who the server says that the options make of us."""

    async def ask() -> Document:
        async with client.Client(clusters.locate(chosen).config) as api:
            answer = await api.create(REVIEWS, {})
        return typing.cast("Document", answer["status"]["userInfo"])

    return asyncio.run(ask())


def test_a_server_is_told_all_that_the_flags_say(
    embedded_api: pathlib.Path, shell: terminal.Shell
) -> None:
    """Keys may hold what a header may not; values may hold ``=``, and a key several of them."""
    shell.use(embedded_api, namespace="default")
    found = who(
        choice.Chosen(
            impersonated="jane",
            impersonated_uid="7",
            impersonated_groups=("system:masters",),
            impersonated_extra=("example.com/scopes=view", "why=a=b", "example.com/scopes=edit"),
        )
    )
    assert (found["username"], found["uid"]) == ("jane", "7")
    assert found["groups"] == ["system:masters", "system:authenticated"]
    assert found["extra"] == {"example.com/scopes": ["view", "edit"], "why": ["a=b"]}


def test_a_real_server_judges_what_is_said_of_a_user(
    source_api: kubernetes.ControlPlane, shell: terminal.Shell
) -> None:
    """Whoever may act as others may not say anything of them: the server saw the key."""
    name = f"impersonate-{uuid.uuid4().hex[:8]}"
    rbac, group = "/apis/rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}
    role = {"metadata": {"name": name}, "rules": [rule]}
    subject = {"kind": "User", "name": kubernetes.RESTRICTED_USER, "apiGroup": group}
    binding = {
        "metadata": {"name": name},
        "roleRef": {"kind": "ClusterRole", "name": name, "apiGroup": group},
        "subjects": [subject],
    }
    for plural, document in (("clusterroles", role), ("clusterrolebindings", binding)):
        assert source_api.request("POST", f"{rbac}/{plural}", document)[0] == 201
    shell.use(source_api.kubeconfig(kubernetes.RESTRICTED_TOKEN), namespace="default")

    def told() -> str:
        return shell.here(
            *("get", "sources", "oci", "--as", "jane", "--as-user-extra", "example.com/why=audit")
        ).err

    # The rights come a moment after the binding.
    processes.poll(lambda: "userextras" in told(), what="the right to act as others")
    assert 'cannot impersonate resource "userextras/example.com/why"' in told()
    assert source_api.request("DELETE", f"{rbac}/clusterrolebindings/{name}")[0] == 200


def test_commands_take_the_flag(cluster: terminal.Shell) -> None:
    """Before the command and after it; a user to act as is needed."""
    cluster.put("app", status=terminal.ready())
    acting = ("--as", "jane", "--as-group", "system:masters", "--as-user-extra", "why=audit")
    get = ("get", "sources", "oci", "-n", cluster.namespace)
    for words in ((*get, *acting), (*acting, *get)):
        assert cluster(*words).code == 0
    alone = cluster(*get, "--as-user-extra", "why=audit")
    assert (alone.code, alone.err) == (
        2,
        "✗ --as-group, --as-uid and --as-user-extra need a user to act as: add --as\n",
    )


@pytest.mark.parametrize("text", ["scopes", "=view", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(errors.UsageError, match="is not KEY=VALUE: write for example scopes=view"):
        choice.Chosen(impersonated_extra=(text,)).extra()
