"""A run of SAM CLI: its end, its reason, its time limit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType

from local.stack import sam
from project import paths
from project.errors import CommandError

Begin = Callable[[str, float], sam.Sam]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Return what begins a run of a Python program in SAM's place, with a time limit."""
    monkeypatch.setattr(paths, "LOGS", tmp_path)
    monkeypatch.setattr(sam, "LOOK_EVERY_S", 0.05)

    def made(program: str, timeout_s: float) -> sam.Sam:
        def spawn(_argv: Any, *, log_path: Path, **_more: Any) -> subprocess.Popen[bytes]:
            with log_path.open("w") as log:
                return subprocess.Popen([sys.executable, "-S", "-c", program], stdout=log)

        monkeypatch.setattr(sam, "spawn", spawn)
        return sam.Sam("deploy", [], {}, timeout_s=timeout_s)

    return made


def test_a_run_that_ends_well_is_waited_for(begin: Begin, tmp_path: Path) -> None:
    there = tmp_path / "there"
    waiting = f"import pathlib, time\nwhile not pathlib.Path({str(there)!r}).exists(): time.sleep(0.01)"
    calls: list[None] = []

    def meanwhile() -> None:
        calls.append(None)
        there.touch()

    begin(waiting, 30).wait(meanwhile=meanwhile)
    assert calls


def test_a_run_that_fails_says_sams_own_reason(begin: Begin) -> None:
    with pytest.raises(CommandError, match="sam deploy failed: Error: rolled back"):
        begin("print('Error: rolled back\\nmore'); raise SystemExit(1)", 30).wait()


def test_a_run_that_does_not_end_is_killed(begin: Begin) -> None:
    run = begin("import time; time.sleep(60)", 0.2)
    with pytest.raises(CommandError, match="sam deploy did not end within 0 s"):
        run.wait()
    assert run._process.returncode


def test_overrides_of_several_lines_reach_sam_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(paths, "TEMPORARY", tmp_path)
    monkeypatch.setattr(sam, "Sam", lambda _verb, arguments, *_more, **_limits: given.append(arguments))
    overrides = {"AirflowSettings": 'AIRFLOW__A__B="x y"\nAIRFLOW__C__D=1\n', "WorkerMax": "2", "TaskSettings": ""}
    sam.deploy("dev", {}, overrides=overrides)
    (arguments,) = given
    files = arguments[arguments.index("--parameter-overrides") + 1 :]
    read = CfnParameterOverridesType().convert(tuple(files), None, None)
    assert {name: read[name] for name in overrides} == overrides
    assert read["BrokerNodeType"] == "cache.t4g.micro"  # of parameters/dev.yaml


def test_a_deployment_may_take_an_update_and_its_rollback() -> None:
    assert sam.DEPLOY_TIMEOUT_S > 2 * sam.SETTLE_LIMIT_S
