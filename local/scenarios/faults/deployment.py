"""Another version of the image is deployed while tasks run."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from fleet.registry import DRAINING, WORKER
from local.scenarios.demo.burst import DAG_ID, TASK_ID
from local.scenarios.faults.ground import Burst, Ground, Trial
from local.scenarios.faults.skew import SkewWatch, wrongly_reported
from local.stack import release
from local.stack.up import CONFIG_ENV
from project import environments, paths
from project.waiting import wait_until

NEW_VERSION = "changed"
REPORTED_WITHIN_S = 60.0
IN_SYNC_TIMEOUT_S = 120.0
RAN_WITH = re.compile(r"dags_hash=([0-9a-f]+)")
QUEUED_BY = """
    SELECT t.map_index, j.start_date > to_timestamp(%s) FROM task_instance t JOIN job j ON j.id = t.queued_by_job_id
    WHERE t.run_id = %s AND t.task_id = %s
"""


def deployed(ground: Ground, trial: Trial) -> None:
    """Old workers finish what they run, new ones take over, then the service airflow; no new task meets old code."""
    config, clients, cluster = environments.load(CONFIG_ENV), ground.stack.clients, ground.stack.outputs["ClusterName"]
    release.build(NEW_VERSION, config=config, source=_changed_image())
    ground.burst_on_several(trial, Burst(tasks=120, shortest_s=2, longest_s=30))
    old_hashes = _hashes(ground)
    began, began_at = time.monotonic(), time.time()
    replaced = {worker.id for worker in ground.see("workers", lambda s: s.active > 0).workers}
    skew = SkewWatch(ground.stack)
    try:
        release.deploy(NEW_VERSION, config=config, clients=clients)
        wait_until(skew.is_mixed, what="a mixed moment", timeout_s=release.ROLL_TIMEOUT_S)
        wrong = wrongly_reported(ground.stack)
        release.wait(clients, cluster=cluster, report=lambda _line: None)
        trial.figures |= {"workers_replaced": len(replaced), "rollout_s": round(time.monotonic() - began)}
        # What the new scheduler queues, beyond what may be left of the first burst.
        ground.trigger(trial, Burst(tasks=24, shortest_s=1, longest_s=3))
        ground.finish(trial)
        wait_until(skew.is_in_sync, what="the check's word that all is in sync", timeout_s=IN_SYNC_TIMEOUT_S)
    finally:
        skew.close()
    busy = {w.id for s in ground.watch.since(began) for w in s.workers if w.active and w.state == DRAINING}
    trial.figures["replaced_while_busy"] = len(busy & replaced)
    trial.require(bool(busy & replaced), "no worker of the old version had tasks when it was told to drain")
    trial.require(not wrong, f"the version check named what is not so: {'; '.join(wrong)}")
    _judge_skew(trial, skew)
    _judge_code(ground, trial, old_hashes=old_hashes, deployed_at=began_at)
    versions = {member.image_version for member in ground.stack.registry.members().members}
    trial.require(versions == {NEW_VERSION}, f"versions after the rollout: {', '.join(sorted(versions))}")


def _judge_skew(trial: Trial, skew: SkewWatch) -> None:
    after_s = skew.reported_after_s()
    if after_s is not None:
        trial.figures["skew_reported_after_s"] = after_s
    trial.require(after_s is not None and after_s <= REPORTED_WITHIN_S, f"the skew was reported after {after_s} s")


def _judge_code(ground: Ground, trial: Trial, *, old_hashes: set[str], deployed_at: float) -> None:
    """Each task's log says which code it ran with; Airflow's database, which scheduler queued it."""
    of_old = of_new = of_new_scheduler = 0
    for run_id in trial.runs:
        queued_by_new = _queued_by_new(ground, run_id, deployed_at=deployed_at)
        for instance in ground.airflow.task_instances(DAG_ID, run_id):
            if instance["task_id"] != TASK_ID:
                continue
            said = RAN_WITH.search(ground.airflow.log(instance))
            is_old = said is None or said.group(1) in old_hashes
            of_old, of_new = of_old + is_old, of_new + (not is_old)
            if queued_by_new[instance["map_index"]]:
                of_new_scheduler += 1
                what = "on old code" if said else "without saying on which code"
                trial.require(not is_old, f"task {instance['map_index']} of {run_id}, queued after, ran {what}")
    trial.figures |= {"ran_old_code": of_old, "ran_new_code": of_new, "queued_by_new_scheduler": of_new_scheduler}
    trial.require(bool(of_old and of_new and of_new_scheduler), "not both schedulers and both versions had tasks")


def _queued_by_new(ground: Ground, run_id: str, *, deployed_at: float) -> dict[int, bool]:
    with ground.stack.database_server.superuser(ground.stack.outputs["DatabaseName"]) as database:
        return dict(database.execute(QUEUED_BY, (deployed_at, run_id, TASK_ID)).fetchall())


def _hashes(ground: Ground) -> set[str]:
    return {m.dags_hash for m in ground.stack.registry.members().members if m.role == WORKER}


def _changed_image() -> Path:
    """Return a copy of the image's files in which one DAG is another."""
    copy = paths.TEMPORARY / NEW_VERSION
    shutil.copytree(paths.IMAGE_SOURCE, copy, dirs_exist_ok=True)
    with (copy / "dags" / f"{DAG_ID}.py").open("a") as dag:
        dag.write(f"\n# {NEW_VERSION}\n")
    return copy
