"""Faults of an environment are refused in one line before anything starts."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.cli.commands import check
from local.stack.preflight import preflight
from project import environments, paths
from project.errors import CommandError

ROOT = Path(__file__).resolve().parents[3]

Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Return a function that replaces a text in a file of a separate checkout."""
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "parameters", tmp_path / "parameters")
    monkeypatch.setattr(paths, "ROOT", tmp_path)

    def replace(name: str, old: str, new: str) -> None:
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1))

    return replace


@pytest.mark.parametrize("name", ["local", "dev", "qa", "prd"])
def test_every_environment_of_the_project_is_acceptable(name: str) -> None:
    assert preflight(name).config.stack_name == f"airflow-{name}"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("parameters/local.yaml", "PollSeconds: 5", "PollSeconds: 900", "PollSeconds failed to satisfy constraint"),
        ("parameters/local.yaml", "PollSeconds: 5", "PollSecond: 5", r"\[PollSecond\] do not exist in the template"),
        ("parameters/local.yaml", "WorkerMax: 4", "WorkerMax: 4.0", "WorkerMax is 4.0: write a whole number"),
        ("parameters/local.yaml", "PollSeconds: 5", "PollSeconds: five", "PollSeconds is five: write a whole number"),
        (
            "parameters/local.yaml",
            'DeletionProtection: "false"',
            "DeletionProtection: false",
            "DeletionProtection failed to satisfy constraint: Must be true or false, in quotes",
        ),
        # CloudFormation's rules compare no numbers above 10
        (
            "parameters/local.yaml",
            "WorkerMin: 1\nWorkerMax: 4",
            "WorkerMin: 40\nWorkerMax: 39",
            "WorkerMin is 40, above",
        ),
        ("parameters/local.yaml", "AirflowMax: 1", "AirflowMax: 3", "accepts some 197: choose a larger"),
        ("parameters/local.yaml", "AirflowMemory: 2048", "AirflowMemory: 1024", "AirflowMemory failed to satisfy"),
        ("parameters/local.yaml", "PollSeconds: 5", "PollSeconds: [", "^parameters/local.yaml: while parsing"),
        (
            "parameters/local.yaml",
            "PollSeconds: 5",
            "WorkerMax: 5",
            '^parameters/local.yaml: .*duplicate key "WorkerMax"',
        ),
        ("parameters/local.yaml", "ImageUri:", "# ImageUri:", r"\[ImageUri\] must have values"),
        (
            "parameters/local.yaml",
            "airflow-on-ecs:local",
            "a" * 3500 + ":local",
            "variables of AutoscalerFunction take up",
        ),
        ("template.yaml", "Type: AWS::Logs::LogGroup", "Type: AWS::SQS::Queue", "resource type AWS::SQS::Queue"),
        ("template.yaml", "Type: AWS::Logs::LogGroup", "Type: [", "Template format error"),
        ("samconfig.toml", "parameters/local.yaml", "parameters/gone.yaml", "gone.yaml was not found"),
    ],
)
def test_an_environment_that_a_deployment_would_refuse_is_refused_at_once(
    edit: Edit, file: str, old: str, new: str, said: str
) -> None:
    edit(file, old, new)
    with pytest.raises(CommandError, match=said) as raised:
        preflight("local")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "parameters/dev.airflow.yaml",
            "AIRFLOW__API__INSTANCE_NAME=",
            "AIRFLOW__API__INSTANCES_NAME=",
            r"^parameters/dev\.airflow\.yaml: AirflowSettings: AIRFLOW__API__INSTANCES_NAME is no option ",
        ),
        (
            "parameters/dev.yaml",
            "$include",
            'MachineRoles: "Op: sub=ci"\n$include',
            r"^parameters/dev\.yaml: MachineRoles: line 1 has neither issuer= nor aws=",
        ),
    ],
)
def test_make_check_refuses_a_setting_and_a_role_that_cannot_be(
    edit: Edit, file: str, old: str, new: str, said: str
) -> None:
    edit(file, old, new)
    with pytest.raises(CommandError, match=said):
        check("dev")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"WorkerMax": "0"}, "WorkerMin is 1, above WorkerMax, which is 0"),
        ({"OtherMax": "1"}, r"\[OtherMax\] do not exist in the template"),
    ],
)
def test_overrides_are_checked_as_the_environments_own_parameters(overrides: dict[str, str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        preflight("local", overrides=overrides)


def test_a_missing_tool_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CommandError, match=r"^make is missing; install it"):
        preflight("local")


def test_an_unknown_environment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        CommandError, match=r"^unknown environment .nope.: use one of samconfig\.toml: local, dev, qa, prd$"
    ):
        environments.load("nope")


def test_the_command_fails_with_one_line() -> None:
    argv = [sys.executable, "-m", "local", "check", "--env", "nope"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "local: unknown environment 'nope': use one of samconfig.toml: local, dev, qa, prd"
    ]
