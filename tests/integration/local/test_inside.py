"""Commands reach a container of the running stack: its variables, its user, its folders."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from local.servers.process import UserIds, spawn, stop
from local.stack.seed import read_seed
from project.paths import ROOT, STATE_VARIABLE
from project.running import Running
from tests.support.airflows_python import AIRFLOWS_PYTHON, needs_airflow

AS_ROOT = os.geteuid() == 0
UID = 64_998  # above the ranges that stacks reserve first
RUNNING = Running(
    redis_host="127.0.0.1",
    redis_port=1,
    endpoint="http://127.0.0.1:1",
    region="us-east-1",
    broker_user="page",
    broker_secret_arn="",
    invocations="",
    pools=[],
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Run a container of the role dag-processor. Its user may read what is in a folder that is closed to it."""
    tmp_path.chmod(0o700)
    home, programs = tmp_path / "tasks" / "id" / "dag-processor", tmp_path / "bin"
    home.mkdir(parents=True)
    programs.mkdir()
    (tmp_path / "running.json").write_text(json.dumps(asdict(RUNNING)))
    program = programs / "airflow"
    program.write_text('#!/bin/sh\necho "$PWD $SECRET $(id -u) $*"\nexit 7\n')
    program.chmod(0o755)
    if AS_ROOT:
        os.chown(home, UID, UID)
    variables = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "FLEET_ROLE": "dag-processor",
        "AIRFLOW_HOME": str(home),
        "SECRET": "of the container",
    }
    child = spawn(
        ["/bin/sleep", "300"],
        env=variables,
        cwd=home,
        log_path=tmp_path / "log",
        user=UserIds(UID, UID) if AS_ROOT else None,
        reveal=(home, programs) if AS_ROOT else (),
    )
    yield tmp_path
    stop(child)


def local(state: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env={**os.environ, STATE_VARIABLE: str(state)},
        input=said,
        capture_output=True,
        text=True,
        check=False,
    )


def test_airflows_command_runs_as_the_container_would_and_its_exit_code_counts(state: Path) -> None:
    done = local(state, "airflow", "--", "dags", "list", "-o", "plain")
    uid = UID if AS_ROOT else os.geteuid()
    home = state / "tasks" / "id" / "dag-processor"
    assert (done.returncode, done.stdout) == (7, f"{home} of the container {uid} dags list -o plain\n"), done.stderr


def test_a_shell_has_the_containers_variables(state: Path) -> None:
    done = local(state, "shell", said='echo "$SECRET"; exit 3\n')
    assert (done.returncode, done.stdout) == (3, "of the container\n"), done.stderr


@pytest.mark.slow
@needs_airflow
def test_connections_and_variables_are_kept_in_a_file_that_no_one_else_reads(tmp_path: Path) -> None:
    home = tmp_path / "tasks" / "id" / "dag-processor"
    home.mkdir(parents=True)
    (tmp_path / "running.json").write_text(json.dumps(asdict(RUNNING)))
    variables = {
        "PATH": f"{AIRFLOWS_PYTHON.parent}:/usr/bin:/bin",
        "FLEET_ROLE": "dag-processor",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    child = spawn(["/bin/sleep", "300"], env=variables, cwd=home, log_path=tmp_path / "log")
    try:
        for words in (
            ["db", "migrate"],
            ["connections", "add", "lake", "--conn-uri", "postgres://ada:top-secret@db/lake?a=b"],
            ["variables", "set", "limits", '{"rows": 1}'],
        ):
            assert local(tmp_path, "airflow", "--", *words).returncode == 0
        keeping = "from local.stack import kept; print(kept.keep().summary())"
        done = subprocess.run(
            [sys.executable, "-c", keeping],
            cwd=ROOT,
            env={**os.environ, STATE_VARIABLE: str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        stop(child)
    file = tmp_path / "kept.json"
    assert "1 variables and 1 connections" in done.stdout
    assert "top-secret" not in done.stdout + done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = read_seed(file)
    assert found.variables == ({"key": "limits", "value": '{"rows": 1}'},)
    assert found.connections == (
        {
            "connection_id": "lake",
            "conn_type": "postgres",
            "host": "db",
            "login": "ada",
            "password": "top-secret",
            "schema": "lake",
            "extra": '{"a": "b"}',
        },
    )


def test_without_a_container_a_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text(json.dumps(asdict(RUNNING)))
    done = local(tmp_path, "airflow", "--", "version")
    assert done.returncode == 1
    assert done.stderr == "local: no container dag-processor is running; wait until the stack runs, then try again\n"


def test_without_a_stack_a_line_says_so(tmp_path: Path) -> None:
    done = local(tmp_path, "shell")
    assert done.returncode == 1
    assert done.stderr.startswith("local: no local stack is running")
