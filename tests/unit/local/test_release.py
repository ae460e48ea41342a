"""Another version of the image for the running stack: its tag, and the end of its rollout."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.fargate import image
from local.servers.tls import Authority
from local.stack import release
from local.stack.release import Rollout
from project import paths
from project.clients import Clients
from project.environments import Environment
from project.errors import CommandError
from tests.support import rendered

CONFIG = Environment(name="local", stack_name="s", region="us-east-1", parameters={"ImageUri": "airflow:local"})


class Services:
    """ECS with services as DescribeServices gives them."""

    def __init__(self, *services: dict[str, Any]) -> None:
        self._services = {service["serviceName"]: service for service in services}

    def list_services(self, **_request: Any) -> dict[str, Any]:
        return {"serviceArns": list(self._services)}

    def describe_services(self, *, services: list[str], **_request: Any) -> dict[str, Any]:
        assert len(services) <= 10  # the API's limit
        return {"services": [self._services[name] for name in services]}


def deployment(status: str, *, running: int, state: str = "IN_PROGRESS") -> dict[str, Any]:
    return {"status": status, "runningCount": running, "pendingCount": 0, "rolloutState": state}


@pytest.mark.parametrize(
    ("uri", "version", "expected"),
    [
        ("airflow-on-ecs:local", "2", "airflow-on-ecs:2"),
        ("registry:5000/team/airflow:1.0", "v2.1-rc_1", "registry:5000/team/airflow:v2.1-rc_1"),
    ],
)
def test_a_version_is_the_images_tag(uri: str, version: str, expected: str) -> None:
    assert release.image_uri(uri, version) == expected


@pytest.mark.parametrize("version", ["", "a b", "../x", "-x", "x" * 129])
def test_an_invalid_tag_is_refused_in_one_line(version: str) -> None:
    with pytest.raises(CommandError, match="is no valid image tag"):
        release.image_uri("airflow-on-ecs:local", version)


def test_a_version_that_was_built_is_not_built_again_and_does_not_hide_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(paths, "AUTHORITY", tmp_path / "ca.pem")
    paths.AUTHORITY.write_text("a certificate")
    source = tmp_path / "source"
    (source / "dags").mkdir(parents=True)
    dag = source / "dags" / "a.py"
    dag.write_text("first")
    assert release.build("2", config=CONFIG, source=source)
    assert not release.build("2", config=CONFIG, source=source)
    dag.write_text("second")
    with pytest.raises(CommandError, match="VERSION=2 was built before your last change"):
        release.build("2", config=CONFIG, source=source)
    assert release.build("3", config=CONFIG, source=source)
    assert not release.build("2", config=CONFIG, source=source)  # back on purpose: the change is in an image
    assert (image.load("airflow:2").root / "dags" / "a.py").read_text() == "first"


def test_a_version_that_is_made_follows_files_and_packages(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    dag, lock = tmp_path / "dags" / "a.py", tmp_path / "requirements.txt"
    made = set()
    for text, packages in (("first", ""), ("second", ""), ("second", "polars==1.0"), ("first", "")):
        dag.write_text(text)
        lock.write_text(packages)
        made.add(release.make_version(tmp_path))
    assert len(made) == 3
    assert all(release.image_uri("airflow:local", version) for version in made)


def test_an_image_brings_the_authority_of_this_machines_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "IMAGES", tmp_path / "images")
    authority = Authority(tmp_path)
    monkeypatch.setattr(paths, "AUTHORITY", authority.ca_path)
    (tmp_path / "source").mkdir()
    built = image.build("airflow:2", "2", source=tmp_path / "source")
    default = rendered.template()["Parameters"]["DatabaseAuthorities"]["Default"]
    assert (built.root / default).read_text() == authority.ca_path.read_text()


def test_a_rollout_ends_when_the_newest_deployment_is_complete_and_alone() -> None:
    done = {"serviceName": "a", "deployments": [deployment("PRIMARY", running=2, state="COMPLETED")]}
    # the older deployment comes first here: ECS promises no order
    under_way = {"serviceName": "b", "deployments": [deployment("ACTIVE", running=3), deployment("PRIMARY", running=1)]}
    assert release.rollouts(Services(done, under_way), cluster="c") == (
        Rollout(service="a", new=2, old=0, completed=True),
        Rollout(service="b", new=1, old=3, completed=False),
    )


def test_the_progress_of_a_rollout_is_said_once_for_each_change() -> None:
    said: list[str] = []
    old = {"serviceName": "a", "deployments": [deployment("PRIMARY", running=1), deployment("ACTIVE", running=2)]}
    new = {"serviceName": "a", "deployments": [deployment("PRIMARY", running=2, state="COMPLETED")]}
    clients = SimpleNamespace(ecs=Services(old))
    progress = release.Progress(cast(Clients, clients), cluster="c", report=said.append)
    assert [progress.tell(), progress.tell()] == [False, False]
    progress._ecs = Services(new)
    assert progress.tell()
    assert said == ["a 1 new + 2 old", "a 2 new"]


def test_a_rollout_that_does_not_end_is_an_error_that_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ROLL_TIMEOUT_S", 0)
    monkeypatch.setattr(release, "CHECK_EVERY_S", 0)
    clients = SimpleNamespace(ecs=Services({"serviceName": "a", "deployments": [deployment("PRIMARY", running=0)]}))
    with pytest.raises(CommandError, match=r"did not end within 0 s \(a 0 new\)"):
        release.wait(cast(Clients, clients), cluster="c", report=lambda _line: None)


def test_more_services_than_one_call_describes_are_all_read() -> None:
    services = [{"serviceName": f"s{n}", "deployments": [deployment("PRIMARY", running=1)]} for n in range(23)]
    assert len(release.rollouts(Services(*services), cluster="c")) == 23
