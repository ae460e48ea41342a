"""Deployments that go wrong, overlap, or meet tasks that outlast them: the autoscaler rolls workers out."""

from __future__ import annotations

import contextlib
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fleet.member import DRAINING
from local.scenarios.faults.deployment import build_changed, image_with
from local.scenarios.faults.trial import Burst, Trial
from local.scenarios.observed_stack import BURST_DAG, BURST_TASK
from local.stack import release, sam
from local.stack.up import CONFIG_ENV
from project import environments, paths
from project.errors import CommandError
from project.waiting import wait_until

BROKEN, BESIDE_A_LONG_TASK, FIRST, SECOND, MENDED = "broken", "beside-a-long-task", "first", "second", "mended"
STARTS_WORKERS = Path("agent") / "start_worker.py"
CRASH = "raise SystemExit('this version does not work')\n"
# Beyond RolloutPatienceMinutes of the local stack: the minute until the autoscaler is invoked anew, and a busy machine.
GIVEN_UP_TIMEOUT_S = 480.0
GIVEN_UP = "is given up"  # in the reason of a decision
BREAKER = "Circuit Breaker"  # in the reason of CloudFormation
ROLLED_BACK = "UPDATE_ROLLBACK_COMPLETE"
UPDATED = "UPDATE_COMPLETE"
START_TIMEOUT_S = 120.0
# A deployment of a new version takes some 270 s: the minute until the autoscaler is invoked anew, and two boots.
SETTLED_WITHIN_S = 480.0
OUTLAST_ONE_DEPLOYMENT = Burst(tasks=12, shortest_s=400, longest_s=420)
LONGEST = Burst(tasks=1, shortest_s=600, longest_s=600)
FAILING_S = 90.0  # the function is invoked each minute, and runs for a minute
REPORTED_TIMEOUT_S = 120.0


def deploy_broken_image(trial: Trial) -> None:
    """Deploy workers that crash at their start: the old ones go on, and everything goes back by itself."""
    before = _versions(trial)
    broken = image_with(BROKEN, STARTS_WORKERS, CRASH, is_whole=True)
    release.build(BROKEN, config=environments.load(CONFIG_ENV), source=broken)
    trial.trigger_on_several(Burst(tasks=80, shortest_s=2, longest_s=30))
    began, began_at = time.monotonic(), time.time()
    with _deploying(trial, BROKEN) as deployment:
        wait_until(
            lambda: any(GIVEN_UP in d["reason"] for d in trial.observed.decisions_since(began_at)),
            what="a decision that gives the version up",
            timeout_s=GIVEN_UP_TIMEOUT_S,
        )
        trial.figures["given_up_after_s"] = round(time.monotonic() - began)
        trial.trigger(Burst(tasks=24, shortest_s=1, longest_s=3))
        with contextlib.suppress(CommandError):  # SAM says that the stack was rolled back
            deployment.wait()
    trial.figures["rolled_back_after_s"] = round(time.monotonic() - began)
    _require_status(trial, ROLLED_BACK)
    failed = _failed_since(trial, began_at)
    trial.require(any(BREAKER in why for why in failed), f"the stack was rolled back because: {'; '.join(failed)}")
    trial.finish()
    _wait_until_steady(trial, versions=before)


def deploy_beside_a_long_task(trial: Trial) -> None:
    """Deploy while a task runs that outlasts the deployment: the stack settles, and its old worker stays for it."""
    long_run = trial.trigger(LONGEST)
    wait_until(lambda: _running(trial, long_run) == 1, what="start of the long task", timeout_s=START_TIMEOUT_S)
    trial.trigger(Burst(tasks=24, shortest_s=2, longest_s=30))
    began = time.monotonic()
    build_changed(BESIDE_A_LONG_TASK)
    with _deploying(trial, BESIDE_A_LONG_TASK) as deployment:
        deployment.wait()
    settled_s = round(time.monotonic() - began)
    trial.figures |= {"stack_settled_s": settled_s, "long_task_s": round(LONGEST.longest_s)}
    _require_status(trial, UPDATED)
    trial.require(settled_s < SETTLED_WITHIN_S, f"the stack settled after {settled_s} s")
    trial.require(
        _running(trial, long_run) == 1, "the long task did not outlast the deployment: the fault proves nothing"
    )
    old = [w for w in trial.stack.workers().members if w.image_version != BESIDE_A_LONG_TASK and w.active]
    trial.require([w.state for w in old] == [DRAINING], f"old workers with tasks: {[w.state for w in old]}")
    trial.trigger(Burst(tasks=24, shortest_s=1, longest_s=3))
    trial.finish(timeout_s=LONGEST.longest_s + 2 * START_TIMEOUT_S)
    _wait_until_steady(trial, versions={BESIDE_A_LONG_TASK})


def deploy_twice(trial: Trial) -> None:
    """Deploy a second version while old workers still finish tasks from before the first."""
    for version in (FIRST, SECOND):
        build_changed(version)
    trial.trigger_on_several(OUTLAST_ONE_DEPLOYMENT)
    before = {worker.id for worker in trial.stack.workers().members}
    began = time.monotonic()
    with _deploying(trial, FIRST) as deployment:
        deployment.wait()
    left = [w for w in trial.stack.workers().members if w.id in before and w.active]
    trial.figures |= {"old_workers_left": len(left), "first_settled_s": round(time.monotonic() - began)}
    trial.require(bool(left), "no old worker had tasks when the second deployment began: the fault proves nothing")
    with _deploying(trial, SECOND) as deployment:
        deployment.wait()
    _require_status(trial, UPDATED)
    trial.trigger(Burst(tasks=24, shortest_s=1, longest_s=3))
    trial.finish()
    _wait_until_steady(trial, versions={SECOND})


def deploy_broken_autoscaler(trial: Trial) -> None:
    """Deploy an autoscaler that cannot be imported, then a release that mends it and has another image, too."""
    present = _present_version(trial)
    folder = _broken_functions()
    trial.trigger(Burst(tasks=40, shortest_s=2, longest_s=10))
    with _deploying(trial, present, folder=folder) as deployment:
        deployment.wait()
    _require_status(trial, UPDATED)
    broken_at = time.time() + FAILING_S  # an invocation that is under way goes on with the code from before
    time.sleep(2 * FAILING_S)
    decided = len(trial.observed.decisions_since(broken_at))
    trial.require(decided == 0, f"{decided} decisions by a broken autoscaler: the fault proves nothing")
    trial.trigger(Burst(tasks=24, shortest_s=1, longest_s=3))
    began = time.monotonic()
    build_changed(MENDED)
    with _deploying(trial, MENDED) as deployment:
        deployment.wait()
    trial.figures["mended_after_s"] = round(time.monotonic() - began)
    _require_status(trial, UPDATED)
    trial.finish()
    _wait_until_steady(trial, versions={MENDED})


def _deploying(trial: Trial, version: str, *, folder: Path = sam.BUILD) -> AbstractContextManager[sam.Sam]:
    config = environments.load(CONFIG_ENV)
    return release.deploying(version, config=config, clients=trial.stack.clients, folder=folder)


def _wait_until_steady(trial: Trial, *, versions: set[str]) -> None:
    """Wait until each service runs one deployment, and all containers report one of these versions."""
    stack, named = trial.stack, ", ".join(sorted(versions))
    release.wait(stack.clients, cluster=stack.outputs["ClusterName"], report=lambda _line: None)
    wait_until(lambda: _versions(trial) == versions, what=f"reports of {named} alone", timeout_s=REPORTED_TIMEOUT_S)


def _versions(trial: Trial) -> set[str]:
    return {member.image_version for member in trial.stack.registry.members().members}


def _running(trial: Trial, run_id: str) -> int:
    return trial.observed.airflow.count(BURST_DAG, run_id, task_id=BURST_TASK, state="running")


def _stack_of(trial: Trial) -> dict[str, Any]:
    name = environments.load(CONFIG_ENV).stack_name
    (found,) = trial.stack.clients.cloudformation.describe_stacks(StackName=name)["Stacks"]
    return dict(found)


def _require_status(trial: Trial, status: str) -> None:
    found = _stack_of(trial)["StackStatus"]
    trial.require(found == status, f"the stack is {found}, not {status}")


def _failed_since(trial: Trial, at: float) -> list[str]:
    """Return why CloudFormation could not update resources since a time in seconds since the epoch."""
    name = environments.load(CONFIG_ENV).stack_name
    pages = trial.stack.clients.cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"] if event["Timestamp"].timestamp() >= at]
    return [event.get("ResourceStatusReason", "") for event in events if event["ResourceStatus"] == "UPDATE_FAILED"]


def _present_version(trial: Trial) -> str:
    parameters = _stack_of(trial)["Parameters"]
    uri = next(p["ParameterValue"] for p in parameters if p["ParameterKey"] == release.IMAGE_PARAMETER)
    return str(uri).rpartition(":")[2]


def _broken_functions() -> Path:
    """Return a copy of the built functions in which the autoscaler cannot be imported."""
    copy = paths.TEMPORARY / "broken-functions"
    shutil.copytree(sam.BUILD, copy, dirs_exist_ok=True)
    module = copy / "AutoscalerFunction" / "autoscaler"
    shutil.rmtree(module / "__pycache__", ignore_errors=True)  # it would be used whatever the source says
    with (module / "handler.py").open("a") as changed:
        changed.write("\nraise RuntimeError('this version does not work')\n")
    return copy
