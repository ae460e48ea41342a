"""A version's image is built and pushed once, and says itself which revisions it knows."""

import json
import sys
from collections.abc import Iterator, Sequence

import boto3
import pytest
from moto import mock_aws

from fleet.pools import read_pools
from ops.delivery.build import build_once
from ops.delivery.release import Failed, Refused
from ops.delivery.store import Store
from tests.support.releases import FIRST, REPOSITORY

TAG = f"{REPOSITORY}:{FIRST.version}"
FACTS = {"airflow_version": FIRST.airflow_version, "revision": FIRST.revision, "lineage": list(FIRST.lineage)}


class Machine:
    """A machine that answers as ops.image and docker do and keeps the commands."""

    def __init__(
        self, *, digests: Sequence[str] = (FIRST.image,), said: str = json.dumps(FACTS), has_broken_dags: bool = False
    ) -> None:
        self.asked: list[str] = []
        self._has_broken_dags = has_broken_dags
        self._digests, self._said = digests, said

    def run(self, argv: Sequence[str]) -> str:
        words = argv[1:3] if argv[0] == sys.executable else argv[:2]
        self.asked.append(" ".join(words))
        match argv[:2]:
            case ["docker", "image"]:
                return json.dumps(list(self._digests))
            case ["docker", "run"] if argv[-1] == "dags":
                assert list(argv[2:5]) == ["--rm", "--network", "none"]
                assert read_pools(argv[argv.index("--env") + 1].removeprefix("POOLS="))
                if self._has_broken_dags:
                    raise Failed("docker run --rm: exit code 1")
            case ["docker", "run"]:
                assert list(argv[-2:]) == [TAG, "schema"]
                return self._said
        return ""


@pytest.fixture
def store() -> Iterator[Store]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="bucket")
        yield Store(s3, "bucket")


def test_a_version_is_built_pushed_and_kept_by_its_digest(store: Store) -> None:
    machine = Machine(digests=["another.example/airflow-on-ecs@sha256:" + "0" * 64, FIRST.image])
    assert build_once(FIRST.version, repository=REPOSITORY, store=store, run=machine.run) == FIRST
    assert machine.asked == ["-m ops.image", "docker run", "docker push", "docker image", "docker run"]
    assert store.release(FIRST.version) == FIRST


def test_a_version_that_was_built_is_not_built_again(store: Store) -> None:
    store.add(FIRST)
    machine = Machine()
    assert build_once(FIRST.version, repository=REPOSITORY, store=store, run=machine.run) == FIRST
    assert machine.asked == []


def test_an_image_whose_dag_files_do_not_load_is_not_pushed(store: Store) -> None:
    machine = Machine(has_broken_dags=True)
    with pytest.raises(Refused, match="DAG files would not all load"):
        build_once(FIRST.version, repository=REPOSITORY, store=store, run=machine.run)
    assert machine.asked == ["-m ops.image", "docker run"]
    assert store.find(FIRST.version) is None


def test_an_image_without_a_digest_in_the_repository_is_no_release(store: Store) -> None:
    with pytest.raises(Failed, match="no digest in"):
        build_once(FIRST.version, repository=REPOSITORY, store=store, run=Machine(digests=[]).run)
    assert store.find(FIRST.version) is None


@pytest.mark.parametrize("said", ["", "[]", "{}", "usage: entrypoint ROLE"])
def test_an_image_that_does_not_say_what_it_knows_is_no_release(store: Store, said: str) -> None:
    with pytest.raises(Refused):
        build_once(FIRST.version, repository=REPOSITORY, store=store, run=Machine(said=said).run)
    assert store.find(FIRST.version) is None
