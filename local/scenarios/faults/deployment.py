"""A changed version of the image is deployed while tasks run."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from pathlib import Path

from fleet.member import DRAINING, WORKER
from local.scenarios.faults.skew import SkewSampler, wrongly_reported
from local.scenarios.faults.trial import Burst, Trial
from local.scenarios.observed_stack import BURST_DAG, BURST_TASK
from local.stack import release
from local.stack.up import CONFIG_ENV
from project import environments, paths
from project.waiting import wait_until

NEW_VERSION = "changed"
REPORTED_WITHIN_S = 60.0
IN_SYNC_TIMEOUT_S = 120.0
FINISH_TIMEOUT_S = 600.0
RAN_WITH = re.compile(r"dags_hash=([0-9a-f]+)")
QUEUED_BY = """
    SELECT t.map_index, j.start_date > to_timestamp(%s) FROM task_instance t JOIN job j ON j.id = t.queued_by_job_id
    WHERE t.run_id = %s AND t.task_id = %s
"""


def deploy_changed_image(trial: Trial) -> None:
    """Deploy: old workers finish their tasks, new workers take over, then `airflow`; no new task runs old code."""
    stack, observed = trial.stack, trial.observed
    config, clients, cluster = environments.load(CONFIG_ENV), stack.clients, stack.outputs["ClusterName"]
    build_changed(NEW_VERSION)
    # Enough for the minute until the autoscaler is invoked with the new revision, and the boots after it.
    trial.trigger_on_several(Burst(tasks=240, shortest_s=2, longest_s=30))
    old_hashes = {m.dags_hash for m in stack.registry.members().members if m.role == WORKER}
    began, began_at = time.monotonic(), time.time()
    replaced = {worker.id for worker in observed.wait_for("busy workers", lambda s: s.active > 0).workers}
    skew = SkewSampler(stack)
    with contextlib.closing(skew), release.deploying(NEW_VERSION, config=config, clients=clients) as deployment:
        wait_until(skew.is_mixed, what="a mix of versions", timeout_s=release.ROLL_TIMEOUT_S)
        wrong = wrongly_reported(stack)
        deployment.wait()
        release.wait(clients, cluster=cluster, report=lambda _line: None)
        trial.figures |= {"workers_replaced": len(replaced), "rollout_s": round(time.monotonic() - began)}
        # Tasks for the new scheduler to queue, beyond what may be left of the first burst.
        trial.trigger(Burst(tasks=24, shortest_s=1, longest_s=3))
        trial.finish(timeout_s=FINISH_TIMEOUT_S)
        wait_until(skew.is_in_sync, what="the version check's status in_sync", timeout_s=IN_SYNC_TIMEOUT_S)
    busy = {w.id for s in observed.workers.since(began) for w in s.workers if w.active and w.state == DRAINING}
    trial.figures["replaced_while_busy"] = len(busy & replaced)
    trial.require(bool(busy & replaced), "no worker of the old version had tasks when it was ordered to drain")
    trial.require(not wrong, f"the version check reported differences that do not exist: {'; '.join(wrong)}")
    _judge_skew(trial, skew)
    _judge_code(trial, old_hashes=old_hashes, deployed_at=began_at)
    versions = {member.image_version for member in stack.registry.members().members}
    trial.require(versions == {NEW_VERSION}, f"versions after the rollout: {', '.join(sorted(versions))}")


def _judge_skew(trial: Trial, skew: SkewSampler) -> None:
    after_s = skew.reported_after_s()
    if after_s is not None:
        trial.figures["skew_reported_after_s"] = after_s
    trial.require(after_s is not None and after_s <= REPORTED_WITHIN_S, f"the skew was reported after {after_s} s")


def _judge_code(trial: Trial, *, old_hashes: set[str], deployed_at: float) -> None:
    """Compare the code that each task's log names with the scheduler that queued it, by Airflow's database."""
    airflow = trial.observed.airflow
    of_old = of_new = of_new_scheduler = 0
    for run_id in trial.runs:
        queued_by_new = _queued_by_new(trial, run_id, deployed_at=deployed_at)
        for instance in airflow.task_instances(BURST_DAG, run_id, task_id=BURST_TASK):
            logged = RAN_WITH.search(airflow.log(instance))
            is_old = logged is None or logged.group(1) in old_hashes
            of_old, of_new = of_old + is_old, of_new + (not is_old)
            if queued_by_new[instance["map_index"]]:
                of_new_scheduler += 1
                what = "ran old code" if logged else "did not log its code"
                trial.require(
                    not is_old, f"task {instance['map_index']} of {run_id}, queued by the new scheduler, {what}"
                )
    trial.figures |= {"ran_old_code": of_old, "ran_new_code": of_new, "queued_by_new_scheduler": of_new_scheduler}
    trial.require(bool(of_old and of_new and of_new_scheduler), "not both schedulers and both versions had tasks")


def _queued_by_new(trial: Trial, run_id: str, *, deployed_at: float) -> dict[int, bool]:
    with trial.stack.database_server.superuser(trial.stack.outputs["DatabaseName"]) as database:
        return dict(database.execute(QUEUED_BY, (deployed_at, run_id, BURST_TASK)).fetchall())


def build_changed(version: str) -> None:
    """Build a version of the image in which one DAG has changed."""
    source = image_with(version, Path("dags") / f"{BURST_DAG}.py", f"\n# {version}\n")
    release.build(version, config=environments.load(CONFIG_ENV), source=source)


def image_with(version: str, file: Path, text: str, *, is_whole: bool = False) -> Path:
    """Return a copy of the image's files with `text` at the end of one; `is_whole`: it is the whole file."""
    copy = paths.TEMPORARY / version
    shutil.copytree(paths.IMAGE_SOURCE, copy, dirs_exist_ok=True)
    with (copy / file).open("w" if is_whole else "a") as changed:
        changed.write(text)
    return copy
