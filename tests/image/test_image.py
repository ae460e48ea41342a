"""What the built image is made of."""

import json
import re

import pytest

from local.servers.tls import Authority
from tests.image.conftest import VERSION, Built
from tests.image.containers import Image
from tests.image.machine import ROOT

pytestmark = [pytest.mark.image, pytest.mark.timeout(2400)]

LOCK = ROOT / "airflow_image" / "requirements.txt"
IMPORTS = (
    "import airflow.configuration, airflow.providers.celery.cli.celery_command, boto3, agent.fleet_agent, roles.compose"
)
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)


def normal(name: str) -> str:
    """Normalize a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_is_within_its_size_budget(built: Built) -> None:
    megabytes, budget = map(int, re.findall(r"(\d+) MB", built.said))
    assert 100 < megabytes <= budget == 230


def test_its_labels_tell_version_and_revision(image: Image) -> None:
    inspected = image.machine.run("podman", "inspect", "--type", "image", image.reference)
    labels = json.loads(inspected.stdout)[0]["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_a_container_knows_the_version_that_the_label_tells(image: Image) -> None:
    assert image.run("printenv", "IMAGE_VERSION").stdout == f"{VERSION}\n"


def test_every_package_in_it_is_in_the_lock_with_that_version(built: Built) -> None:
    locked = {(normal(name), version) for name, version in PINNED.findall(LOCK.read_text())}
    installed = {(normal(c["name"]), c["version"]) for c in json.loads(built.sbom.read_text())["components"]}
    assert len(installed) > 100
    assert installed <= locked


def test_its_bill_of_materials_lists_what_is_installed(built: Built) -> None:
    count = "from importlib.metadata import distributions; print(len({d.name for d in distributions()}))"
    assert int(built.image.run("python", "-c", count).stdout) == len(json.loads(built.sbom.read_text())["components"])


def test_it_knows_who_may_sign_the_databases_certificate(image: Image, authority: Authority) -> None:
    shown = image.run("cat", "/opt/airflow-on-ecs/authorities/rds.pem").stdout
    assert shown == authority.ca_path.read_text()


def test_it_does_not_run_as_root(image: Image) -> None:
    assert image.run("id", "-u").stdout == "50000\n"


def test_no_program_in_it_gives_its_user_more_rights(image: Image) -> None:
    assert image.run("find", "/", "-xdev", "-type", "f", "-perm", "/6000").stdout == ""


@pytest.mark.parametrize("folder", ["/opt/airflow", "/tmp"])
def test_what_must_be_written_can_be_though_the_root_cannot(image: Image, folder: str) -> None:
    assert image.run("touch", f"{folder}/probe").returncode == 0


@pytest.mark.parametrize("folder", ["/", "/opt/venv", "/opt/airflow-on-ecs", "/run", "/home"])
def test_nothing_else_can_be_written(image: Image, folder: str) -> None:
    assert "Read-only file system" in image.run("touch", f"{folder}/probe").stderr


def test_its_code_belongs_to_root(image: Image) -> None:
    wrong = ("(", "!", "-user", "root", "-o", "-perm", "/022", "!", "-type", "l", ")")
    assert image.run("find", "/opt/venv", "/opt/airflow-on-ecs", *wrong).stdout == ""


def test_it_brings_no_installer(image: Image) -> None:
    assert image.run("/opt/venv/bin/python", "-m", "pip", "--version").returncode != 0


def test_all_code_is_read_from_its_bytecode(image: Image) -> None:
    said = image.run("python", "-v", "-c", IMPORTS).stderr
    compiled_now = re.findall(r"^# code object from /(.*\.py)$", said, re.MULTILINE)
    assert len(re.findall(r"^# code object from '/.*\.pyc'$", said, re.MULTILINE)) > 500
    assert compiled_now == []
