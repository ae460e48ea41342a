"""A version's image is built and pushed once, and says itself which revisions it knows."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from fleet.pools import read_pools
from ops.delivery.build import build_once
from ops.delivery.release import Failed, Refused, Release
from ops.delivery.store import Store
from project.errors import CommandError
from tests.support.releases import FIRST, REPOSITORY

DIGEST = FIRST.image.partition("@")[2]
TAG = f"{REPOSITORY}:{FIRST.version}"
FACTS = {"airflow_version": FIRST.airflow_version, "revision": FIRST.revision, "lineage": list(FIRST.lineage)}


class Machine:
    """A machine that answers as ops.image, podman and docker do and keeps the commands."""

    def __init__(
        self,
        *,
        digests: Sequence[str] = (FIRST.image,),
        said: str = json.dumps(FACTS),
        digest: str = DIGEST,
        help_text: str = "--compression-level int",
        has_broken_dags: bool = False,
    ) -> None:
        self.asked: list[str] = []
        self._has_broken_dags = has_broken_dags
        self.pushed: Sequence[str] = ()
        self._digests, self._said, self._digest, self._help = digests, said, digest, help_text

    def run(self, argv: Sequence[str], *, is_shown: bool = True) -> str:
        assert is_shown == ("--help" not in argv)
        words = argv[1:3] if argv[0] == sys.executable else argv[:2]
        self.asked.append(" ".join(words))
        match argv[:3]:
            case ["docker", "image", _]:
                return json.dumps(list(self._digests))
            case ["podman" | "docker", "run", _] if argv[-1] == "dags":
                assert list(argv[2:5]) == ["--rm", "--network", "none"]
                assert read_pools(argv[argv.index("--env") + 1].removeprefix("POOLS="))
                if self._has_broken_dags:
                    raise Failed(f"{argv[0]} run --rm: exit code 1")
            case ["podman", "push", "--help"]:
                return self._help
            case ["podman" | "docker", "push", _]:
                self.pushed = argv
                for option in argv:
                    if option.startswith("--digestfile=") and self._digest:
                        Path(option.removeprefix("--digestfile=")).write_text(self._digest)
            case ["podman" | "docker", "run", _]:
                assert list(argv[-2:]) == [TAG, "schema"]
                return self._said
        return ""


@pytest.fixture
def store() -> Iterator[Store]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="bucket")
        yield Store(s3, "bucket")


def build(store: Store, machine: Machine, builder: str = "podman") -> Release:
    return build_once(FIRST.version, repository=REPOSITORY, store=store, builder=builder, run=machine.run)


def test_podman_builds_a_version_and_pushes_it_compressed_with_zstd(store: Store) -> None:
    machine = Machine()
    assert build(store, machine) == FIRST
    assert machine.asked == ["-m ops.image", "podman run", "podman push", "podman push", "podman run"]
    assert {"--format=oci", "--compression-format=zstd", "--compression-level=10"} < set(machine.pushed)
    assert store.release(FIRST.version) == FIRST


def test_a_podman_that_knows_no_level_of_compression_gets_none(store: Store) -> None:
    machine = Machine(help_text="--compression-format string")
    assert build(store, machine) == FIRST
    assert "--compression-format=zstd" in machine.pushed
    assert not [option for option in machine.pushed if option.startswith("--compression-level")]


def test_docker_builds_a_version_and_the_repositorys_own_digest_is_kept(store: Store) -> None:
    machine = Machine(digests=["another.example/airflow-on-ecs@sha256:" + "0" * 64, FIRST.image])
    assert build(store, machine, "docker") == FIRST
    assert machine.asked == ["-m ops.image", "docker run", "docker push", "docker image", "docker run"]
    assert store.release(FIRST.version) == FIRST


def test_a_version_that_was_built_is_not_built_again(store: Store) -> None:
    store.add(FIRST)
    machine = Machine()
    assert build(store, machine) == FIRST
    assert machine.asked == []


def test_an_image_whose_dag_files_do_not_load_is_not_pushed(store: Store) -> None:
    machine = Machine(has_broken_dags=True)
    with pytest.raises(Refused, match="DAG files would not all load"):
        build(store, machine)
    assert machine.asked == ["-m ops.image", "podman run"]
    assert store.find(FIRST.version) is None


@pytest.mark.parametrize(
    ("builder", "machine"),
    [("docker", Machine(digests=[])), ("podman", Machine(digest="")), ("podman", Machine(digest="latest"))],
)
def test_an_image_without_a_digest_in_the_repository_is_no_release(
    store: Store, builder: str, machine: Machine
) -> None:
    with pytest.raises(Failed, match="did not say which digest"):
        build(store, machine, builder)
    assert store.find(FIRST.version) is None


def test_a_machine_without_either_program_says_what_to_install(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CommandError, match="install podman or docker"):
        build_once(FIRST.version, repository=REPOSITORY, store=store, run=Machine().run)


@pytest.mark.parametrize("said", ["", "[]", "{}", "usage: entrypoint ROLE"])
def test_an_image_that_does_not_say_what_it_knows_is_no_release(store: Store, said: str) -> None:
    with pytest.raises(Refused):
        build(store, Machine(said=said))
    assert store.find(FIRST.version) is None
