"""The version check as a gate: what it asks, how long it waits, what it says, how it exits."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.bundles import Bundle, OlderTask, VersionInUse
from ops.deployed import ASK_EVERY_S, DeployedStack, FunctionFailed, ask_until
from ops.versions.__main__ import main
from ops.versions.check import ask_version_check, bundle_state, exit_code, is_in_sync, report_lines, summary
from tests.support.version_verdict import CODE, ODD
from version_check.memory import Memory
from version_check.report import Outcome
from version_check.verdict import Gap, Reference, Verdict

ROOT = Path(__file__).parents[3]


SILENT = Gap(who="t3/flower", why="runs but does not report", since=910.0)
DRAINING_ONLY = Gap(who="worker", why="a deployment is rolling out", since=910.0, is_draining_only=True)


def record(*, differs: bool = False, silent: bool = False, drains: bool = False) -> dict[str, Any]:
    """Return a record as the function answers it."""
    verdict = Verdict(
        at=1000.0,
        reference=Reference(member="t1/webserver", code=CODE),
        compared=6,
        out_of_sync=(ODD,) if differs else (),
        unknown=(*((SILENT,) if silent else ()), *((DRAINING_ONLY,) if drains else ())),
    )
    memory = Memory(status=verdict.status, since=900.0, skewed_since=900.0 if differs else None, looked_at=1000.0)
    answer: dict[str, Any] = json.loads(json.dumps(Outcome(verdict=verdict, memory=memory).to_record()))
    return answer


class FakeStack:
    """A stack whose function gives these answers, one after another."""

    def __init__(self, *answers: dict[str, Any], failed: bool = False) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers, self._failed = list(answers), failed

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        return {"Stacks": [{"Outputs": [{"OutputKey": "VersionCheckFunctionName", "OutputValue": "f"}]}]}

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        body = io.BytesIO(json.dumps(self._answers.pop(0)).encode())
        return {"Payload": body, **({"FunctionError": "Unhandled"} if self._failed else {})}

    @property
    def stack(self) -> DeployedStack:
        return DeployedStack(name="airflow-x", cloudformation=self, functions=self, client=lambda _: self)


def test_the_function_that_the_stacks_outputs_name_is_asked_for_one_tick() -> None:
    fake = FakeStack(record())
    assert ask_version_check(fake.stack)["status"] == "in_sync"
    assert fake.asked == [{"FunctionName": "f", "Payload": '{"ticks": 1}'}]


def test_a_function_that_fails_is_no_answer() -> None:
    with pytest.raises(FunctionFailed, match="SERVICES is missing"):
        ask_version_check(FakeStack({"errorMessage": "SERVICES is missing"}, failed=True).stack)


def test_a_failure_is_told_in_one_line_whatever_the_function_said() -> None:
    with pytest.raises(FunctionFailed) as failure:
        ask_version_check(FakeStack({"errorMessage": "SERVICES is missing\n  set it"}, failed=True).stack)
    assert str(failure.value) == "the version check failed: SERVICES is missing set it"


@pytest.mark.parametrize(
    ("answers", "seconds", "ticks", "status"),
    [
        ([record(differs=True)], 0, 1, "out_of_sync"),
        ([record(differs=True), record(silent=True), record()], 60, 3, "in_sync"),
        ([record()], 60, 1, "in_sync"),
        ([record(differs=True)] * 9, 2 * ASK_EVERY_S, 3, "out_of_sync"),  # at 0, 5 and 10 s
    ],
)
def test_the_gate_waits_until_all_are_in_sync_or_the_time_is_up(
    answers: list[dict[str, Any]], seconds: float, ticks: int, status: str
) -> None:
    now, heard = [0.0], []
    given = iter(answers)
    last = ask_until(
        lambda: next(given),
        is_done=is_in_sync,
        seconds=seconds,
        progress=lambda answer, _: heard.append(answer["status"]),
        clock=lambda: now[0],
        sleep=lambda pause: now.__setitem__(0, now[0] + pause),
    )
    assert (len(heard), last["status"]) == (ticks, status)


@pytest.mark.parametrize(
    ("answer", "code"), [(record(), 0), (record(differs=True, silent=True), 1), (record(silent=True), 2)]
)
def test_the_exit_code_tells_the_three_apart(answer: dict[str, Any], code: int) -> None:
    assert exit_code(answer) == code


def test_the_report_names_each_difference_and_each_silent_container() -> None:
    assert list(report_lines(record(differs=True, silent=True))) == [
        "out_of_sync: 6 containers compared with t1/webserver (image 2.0, dags 0123456789ab, Airflow 3.3.2)",
        "  t2/worker: dags_hash fedcba987654 instead of 0123456789ab (consuming, 3 active tasks)",
        "  t3/flower: runs but does not report, for 90 s",
        "  not in sync for 100 s",
    ]


def test_the_report_says_that_only_draining_workers_are_left() -> None:
    drains = record(drains=True)
    said = "all that take tasks run the same code; only old workers that drain are left"
    assert summary(drains) == f"unknown: 0 differ, 1 unknown; {said}"
    assert list(report_lines(drains))[1:] == [
        "  worker: a deployment is rolling out, for 90 s",
        f"  {said}",
    ]
    assert said not in "".join(report_lines(record(drains=True, silent=True)))
    del drains["is_draining_only"]  # of an earlier release's function
    assert said not in "".join(report_lines(drains))


def test_an_environment_that_sleeps_is_not_in_sync_and_is_told_in_one_line() -> None:
    verdict = Verdict(at=1000.0, reference=None, compared=0, out_of_sync=(), unknown=(), is_asleep=True)
    answer = Outcome(verdict=verdict, memory=None).to_record()
    assert exit_code(answer) == 2
    assert list(report_lines(answer)) == ["asleep: nothing was compared; run make wake to start the environment"]


@pytest.mark.parametrize("environment", ["nowhere", "local"])
def test_a_stack_that_cannot_be_reached_is_unknown(
    environment: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("project.paths.RUNNING", tmp_path / "running.json")
    assert main(["--env", environment]) == 2
    assert capsys.readouterr().err.startswith("unknown: ")


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_make_passes_the_three_codes_on_and_takes_any_other_for_unknown(code: int, tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nexit {code}\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    made = subprocess.run(
        ["make", "versions", "ENV=qa", "WAIT=30", "PYTHON=true", f"AIRFLOW_ON_ECS_STATE={tmp_path}/a state"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == min(code, 2)
    assert (tmp_path / "asked").read_text() == "tools/command.py versions\n"
    assert (tmp_path / "a state" / "versions-code").read_text() == f"{code}\n"


def test_the_package_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "ops.versions", "--help"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0


OLD, NEW = "a" * 64, "b" * 64


def with_bundles(*bundles: Bundle) -> dict[str, Any]:
    verdict = Verdict(
        at=1000.0, reference=Reference(member="t1/webserver", code=CODE), compared=6, out_of_sync=(), unknown=()
    )
    answer: dict[str, Any] = json.loads(json.dumps(Outcome(verdict=verdict, memory=None, bundles=bundles).to_record()))
    return answer


BUNDLE = Bundle(
    name="dags",
    version=NEW,
    since=60.0,
    in_use=(
        VersionInUse(version=OLD, runs=2, tasks=3),
        VersionInUse(version=NEW, runs=1, tasks=1),
        VersionInUse(version="c" * 64, runs=0, tasks=0),  # of a DAG that is parsed at this version soon
    ),
    older=(
        OlderTask(dag="d", run="r", task="t", map_index=-1, version=OLD),
        OlderTask(dag="d", run="r", task="m", map_index=4, version=OLD),
    ),
)


def test_each_bundle_is_a_line_and_each_task_on_an_older_version_is_named() -> None:
    assert list(report_lines(with_bundles(BUNDLE)))[1:] == [
        "bundle dags: version bbbbbbbbbbbb since 1970-01-01 00:01:00 UTC; unfinished runs of other versions: "
        "2 of aaaaaaaaaaaa (3 running tasks)",
        "  d.t of r runs version aaaaaaaaaaaa",
        "  d.m [4] of r runs version aaaaaaaaaaaa",
        "  and 1 more",
    ]


@pytest.mark.parametrize(
    ("bundle", "version", "code", "words"),
    [
        ("dags", NEW, 0, "has version bbbbbbbbbbbb"),
        ("dags", NEW[:6], 0, "has version bbbbbbbbbbbb"),
        ("dags", OLD, 1, "has version bbbbbbbbbbbb"),
        ("others", NEW, 1, "has no version of it"),
    ],
)
def test_the_gate_says_whether_the_dag_processor_has_a_version(
    bundle: str, version: str, code: int, words: str
) -> None:
    found, line = bundle_state(with_bundles(BUNDLE), bundle, version)
    assert found == code
    assert words in line


@pytest.mark.parametrize("answer", [record(), {k: v for k, v in record().items() if k != "bundles"}])
def test_without_a_report_a_version_is_unknown_and_not_absent(answer: dict[str, Any]) -> None:
    """Also with a function of an earlier release."""
    code, line = bundle_state(answer, "dags", NEW)
    assert (code, line) == (2, "dags: the scheduler has reported no bundles lately")


def test_the_gate_waits_for_a_version_of_a_bundle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = FakeStack(with_bundles(BUNDLE))
    monkeypatch.setattr("ops.versions.__main__.find_stack", lambda _: stack.stack)
    assert main(["--env=dev", "--bundle=dags", f"--version={NEW[:8]}", "--wait=60"]) == 0
    assert capsys.readouterr().out == "dags: the DAG processor has version bbbbbbbbbbbb\n"
