"""Put an installation's objects on a cluster by server-side apply, and see it come to life.

1. Namespace and CustomResourceDefinition come first and are awaited: the rest needs them.
2. A definition that another tool manages (Flux's own) stays as it is unless it is to be replaced.
3. Everything else is applied; fields that others have changed are taken back, as an installation's
   own.
4. What an earlier installation put there and this one does not want is removed; what bears another
   label, or was put there by another tool (kubectl, say), is not.
5. The Deployment is awaited.
"""

import asyncio
import contextlib
import dataclasses
import typing
from collections.abc import Awaitable, Callable, Iterator, Sequence

from ocisource import errors
from ocisource.kube import answers, client, patch, resources

Document = dict[str, typing.Any]

# Kind → plural, and whether it lies in a namespace. Everything that is ever rendered.
KINDS: typing.Final = {
    "Namespace": ("namespaces", False),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
    "ServiceAccount": ("serviceaccounts", True),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "Service": ("services", True),
    "Deployment": ("deployments", True),
    "NetworkPolicy": ("networkpolicies", True),
    "ConfigMap": ("configmaps", True),
    "PodMonitor": ("podmonitors", True),
}
_FIRST: typing.Final = frozenset({"Namespace", "CustomResourceDefinition"})
_PODS: typing.Final = resources.Resource("", "v1", "pods", "Pod", Document)
# Why a container may wait without there being anything wrong; "" is one that does not wait.
_ON_ITS_WAY: typing.Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_POLL = 0.5  # seconds between two looks at something that is awaited
_NAME_LABEL = "app.kubernetes.io/name"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of an object: created, configured, unchanged, skipped, or deleted."""

    subject: str
    action: str

    def __str__(self) -> str:
        return f"{self.subject} {self.action}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """Applies objects; ``show`` hears of each as soon as it is done."""

    api: client.Client
    show: Callable[[Applied], object]
    is_definition_replaced: bool = False
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def apply(self, documents: Sequence[Document]) -> None:
        """Apply all objects in stages; raises OcisourceError that names the object."""
        first = [each for each in documents if each["kind"] in _FIRST]
        for document in first:
            await self._apply(document)
        for document in first:
            if document["kind"] == "CustomResourceDefinition":
                await self._until(document, _is_established)
        for document in documents:
            if document["kind"] not in _FIRST:
                await self._apply(document)

    async def remove(self, documents: Sequence[Document]) -> None:
        """Delete those objects that an installation made; raises OcisourceError naming one."""
        manager = self.api.settings.field_manager
        for document in documents:
            with _told(document):
                found = await self.find(document)
                if found is None or not _is_ours(document, found):
                    continue
                if not _is_applied_by(manager, found):
                    continue
                metadata = found["metadata"]
                await self.api.delete(
                    _resource(document),
                    metadata["name"],
                    namespace=metadata.get("namespace", ""),
                    uid=metadata["uid"],
                )
            self.show(Applied(subject=subject(document), action="deleted"))

    async def wait_ready(
        self, deployment: Document, *, tell: Callable[[str], object] = lambda _: None
    ) -> None:
        """Wait until a Deployment has all its replicas; raises OcisourceError if it gives up.

        ``tell`` hears what stands in the way of its Pods, once for each thing.
        """

        def is_ready(found: Document) -> bool:
            status = found.get("status") or {}
            for condition in status.get("conditions") or ():
                if condition.get("reason") == "ProgressDeadlineExceeded":
                    raise errors.OcisourceError(
                        f"{subject(deployment)} is not ready: {condition.get('message')}"
                    )
            wanted: int = (found.get("spec") or {}).get("replicas", 1)
            ready: int = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
            observed: int = status.get("observedGeneration", 0)
            return observed >= found["metadata"].get("generation", 0) and ready >= wanted

        told = ""
        with _told(deployment):
            while (found := await self.find(deployment)) is None or not is_ready(found):
                obstacle = await self._obstacle(deployment)
                if obstacle and obstacle != told:
                    told = obstacle
                    tell(obstacle)
                await self.sleep(_POLL)

    async def _obstacle(self, deployment: Document) -> str:
        """Why a Pod of a Deployment does not run; "" when nothing is known of that."""
        wanted = deployment["spec"]["selector"]["matchLabels"]
        scope = client.Scope(
            namespace=deployment["metadata"]["namespace"],
            label_selector=",".join(f"{key}={value}" for key, value in wanted.items()),
        )
        try:
            pods = await self.api.list(_PODS, scope)
        except errors.APIStatusError:  # who may install need not be allowed to look
            return ""
        return next(filter(None, map(_hindrance, pods.items)), "")

    async def find(self, document: Document) -> Document | None:
        """The object as it is now."""
        metadata = document["metadata"]
        try:
            return await self.api.get(
                _resource(document), metadata["name"], namespace=metadata.get("namespace", "")
            )
        except errors.APIStatusError as error:
            if answers.is_not_found(error):
                return None
            raise

    async def _apply(self, document: Document) -> None:
        with _told(document):
            before = await self.find(document)
            if before is not None and self._is_left_alone(document, before):
                self.show(Applied(subject=subject(document), action="skipped"))
                return
            metadata = document["metadata"]
            after = await self.api.patch(
                _resource(document),
                metadata["name"],
                patch.apply(document),
                namespace=metadata.get("namespace", ""),
                is_forced=True,
            )
        self.show(Applied(subject=subject(document), action=_action(before, after)))

    def _is_left_alone(self, document: Document, found: Document) -> bool:
        if document["kind"] != "CustomResourceDefinition" or self.is_definition_replaced:
            return False
        return not _is_ours(document, found)

    async def _until(self, document: Document, holds: Callable[[Document], bool]) -> None:
        with _told(document):
            while (found := await self.find(document)) is None or not holds(found):
                await self.sleep(_POLL)


def _is_ours(document: Document, found: Document) -> bool:
    """Whether an object is of this product, by its label."""
    labels = found["metadata"].get("labels") or {}
    return bool(labels.get(_NAME_LABEL) == document["metadata"]["labels"][_NAME_LABEL])


def _hindrance(pod: Document) -> str:
    """What the scheduler or a kubelet says of a Pod that cannot run."""
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if (reason := waiting.get("reason", "")) not in _ON_ITS_WAY:
            return ": ".join(filter(None, (f"Pod {name}", reason, waiting.get("message", ""))))
    for condition in status.get("conditions") or ():
        if (condition["type"], condition["status"]) == ("PodScheduled", "False"):
            return f"Pod {name}: {condition.get('message', condition.get('reason', ''))}"
    return ""


def _is_applied_by(manager: str, found: Document) -> bool:
    """Whether a field manager put an object there by server-side apply."""
    fields = found["metadata"].get("managedFields") or ()
    return any((each["manager"], each["operation"]) == (manager, "Apply") for each in fields)


def subject(document: Document) -> str:
    """``Kind/namespace/name``, or ``Kind/name``."""
    metadata = document["metadata"]
    return "/".join(
        filter(None, (document["kind"], metadata.get("namespace", ""), metadata["name"]))
    )


@contextlib.contextmanager
def _told(document: Document) -> Iterator[None]:
    """Name the object in what the API said of it."""
    try:
        yield
    except errors.APIStatusError as error:
        raise errors.OcisourceError(f"{subject(document)}: {error.text}") from error


def _resource(document: Document) -> resources.Resource[Document]:
    group, _, version = document["apiVersion"].rpartition("/")
    plural, is_namespaced = KINDS[document["kind"]]
    return resources.Resource(
        group, version, plural, document["kind"], Document, is_namespaced=is_namespaced
    )


def _action(before: Document | None, after: Document) -> str:
    if before is None:
        return "created"
    old, new = before["metadata"], after["metadata"]
    return "unchanged" if old["resourceVersion"] == new["resourceVersion"] else "configured"


def _is_established(definition: Document) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
