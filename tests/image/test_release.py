"""What `make release` pushes, into a registry of the test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import boto3
import pytest
from moto import mock_aws

from ops.delivery.build import build_once
from ops.delivery.store import Store
from tests.image import machine
from tests.image.conftest import REPOSITORY, VERSION, Built
from tests.image.registry import serve_registry

pytestmark = [pytest.mark.image, pytest.mark.timeout(2400)]

MEGABYTE = 1_000_000


def test_a_release_is_pushed_with_layers_that_zstd_compressed(built: Built, figures: list[str]) -> None:
    host = machine.prepare()

    def run(argv: Sequence[str], *, is_shown: bool = True) -> str:
        if argv[0] == sys.executable:  # it is built already
            return ""
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with serve_registry() as registry, mock_aws():
        registries = machine.FOLDER / "registries.conf"
        registries.write_text(f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n')
        environment = {**host.environment, "CONTAINERS_REGISTRIES_CONF": str(registries)}
        repository = f"{registry.address}/airflow"
        host.run("podman", "tag", f"{REPOSITORY}:{VERSION}", f"{repository}:{VERSION}")
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="bucket")
        try:
            release = build_once(VERSION, repository=repository, store=Store(s3, "bucket"), builder="podman", run=run)
        finally:
            host.run("podman", "untag", f"{REPOSITORY}:{VERSION}", f"{repository}:{VERSION}")
    manifest = json.loads(registry.manifests[release.image.partition("@")[2]])
    assert registry.manifests[VERSION] == registry.manifests[release.image.partition("@")[2]]
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    assert release.lineage
    pushed = sum(layer["size"] for layer in manifest["layers"]) / MEGABYTE
    figures.append(f"a release is {pushed:.0f} MB, compressed with zstd")
