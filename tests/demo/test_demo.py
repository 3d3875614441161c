"""The example: packed, pushed to its own registry, and pulled again by others."""

import asyncio
import gzip
import io
import json
import pathlib
import tarfile

import pytest

from ocisource import errors
from ocisource.demo import demo
from ocisource.oci import registry
from ocisource.oci.grammar import artifact, manifest, reference
from tests.parts import kubectl, kubernetes, skopeo


async def test_the_example_is_there_under_its_tags() -> None:
    """Both tags lead to the manifest, whose one layer holds the example's files."""
    registries = registry.Registries()
    async with demo.running() as example:
        repository = reference.Repository.parse_url(example.url)
        remote = registries.repository(repository)
        for tag in demo.TAGS:
            assert (await remote.resolve(tag)).digest == example.digest
        _, body = await remote.manifest(example.digest)
        parsed = manifest.parse(body, media_type=manifest.OCI_MANIFEST)
        assert isinstance(parsed, manifest.Manifest)
        assert set(parsed.annotations) == {artifact.CREATED, artifact.REVISION, artifact.SOURCE}
        (layer,) = parsed.layers
        assert layer.media_type == manifest.FLUX_CONTENT
        data = b"".join([chunk async for chunk in remote.blob(layer)])
        await registries.close()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
        names = archive.getnames()
        deployment = archive.extractfile("kustomize/deployment.yaml")
        assert deployment is not None
        assert deployment.read() == (demo.FOLDER / "kustomize/deployment.yaml").read_bytes()
    assert names == [
        ".",
        "kustomize",
        "kustomize/deployment.yaml",
        "kustomize/hpa.yaml",
        "kustomize/kustomization.yaml",
        "kustomize/service.yaml",
    ]


async def test_the_example_is_the_same_at_each_start() -> None:
    """A second start makes no new revision."""
    async with demo.running() as first:
        pass
    async with demo.running() as second:
        pass
    assert first.digest == second.digest


async def test_skopeo_sees_the_example(skopeo_client: skopeo.Skopeo) -> None:
    """An independent client reads the manifest and its annotations."""
    async with demo.running() as example:
        address = example.url.replace("oci://", "docker://") + ":latest"
        words = ("inspect", "--raw", "--tls-verify=false", address)
        read = await asyncio.to_thread(skopeo_client.run, *words)
    assert json.loads(read.stdout)["annotations"][artifact.REVISION] == demo.TAGS[-1]


async def test_the_declared_object_is_admitted(
    source_api: kubernetes.ControlPlane, namespace: str
) -> None:
    """The OCIRepository that follows the example passes the shipped schema."""
    async with demo.running() as example:
        document = example.document()
    assert document["spec"]["url"] == example.url
    document["metadata"]["namespace"] = namespace
    path = f"/apis/source.toolkit.fluxcd.io/v1beta2/namespaces/{namespace}/ocirepositories"
    status, answer = await asyncio.to_thread(source_api.request, "POST", path, document)
    assert status == 201, answer["message"]


async def test_a_taken_port_is_an_error() -> None:
    """Nothing is left running, and the one that holds the port goes on."""
    async with demo.running() as example:
        port = example.repository.port
        assert port is not None
        with pytest.raises(OSError, match="address already in use"):
            async with demo.running(port=port):
                pass
        registries = registry.Registries()
        remote = registries.repository(example.repository)
        assert (await remote.resolve("latest")).digest == example.digest
        await registries.close()


async def test_a_missing_folder_is_an_error(tmp_path: pathlib.Path) -> None:
    """The text names the folder."""
    with pytest.raises(errors.UsageError, match="none"):
        async with demo.running(folder=tmp_path / "none"):
            pass


def test_the_example_is_a_kustomization(tmp_path: pathlib.Path) -> None:
    """What is delivered can be built by whoever receives it."""
    client = kubectl.find(tmp_path / "none", home=tmp_path)
    built = client.run("kustomize", str(demo.FOLDER / "kustomize")).stdout
    kinds = [line for line in built.splitlines() if line.startswith("kind: ")]
    assert kinds == ["kind: Service", "kind: Deployment", "kind: HorizontalPodAutoscaler"]
