"""Another version of the image is deployed while tasks run."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from fleet.registry import DRAINING
from local import environments, paths, release
from local.demo.burst import DAG_ID
from local.faults.ground import Burst, Ground, Trial
from local.stack import CONFIG_ENV

NEW_VERSION = "changed"


def deployed(ground: Ground, trial: Trial) -> None:
    """Old workers finish what they run, new ones take over, and the service airflow is replaced meanwhile."""
    config, clients, cluster = environments.load(CONFIG_ENV), ground.stack.clients, ground.stack.outputs["ClusterName"]
    release.build(NEW_VERSION, config=config, source=_changed_image())
    ground.burst_on_several(trial, Burst(tasks=120, shortest_s=2, longest_s=30))
    began, replaced = time.monotonic(), {worker.id for worker in ground.see("workers", lambda s: s.active > 0).workers}
    release.deploy(NEW_VERSION, config=config, clients=clients)
    release.wait(clients, cluster=cluster, report=lambda _line: None)
    trial.figures |= {"workers_replaced": len(replaced), "rollout_s": round(time.monotonic() - began)}
    busy = {w.id for s in ground.watch.since(began) for w in s.workers if w.active and w.state == DRAINING}
    trial.figures["replaced_while_busy"] = len(busy & replaced)
    trial.require(bool(busy & replaced), "no worker of the old version had tasks when it was told to drain")
    ground.finish(trial)
    versions = {member.image_version for member in ground.stack.registry.members().members}
    trial.require(versions == {NEW_VERSION}, f"versions after the rollout: {', '.join(sorted(versions))}")


def _changed_image() -> Path:
    """Return a copy of the image's files in which one DAG is another."""
    copy = paths.TEMPORARY / NEW_VERSION
    shutil.copytree(release.SOURCE, copy, dirs_exist_ok=True)
    with (copy / "dags" / f"{DAG_ID}.py").open("a") as dag:
        dag.write(f"\n# {NEW_VERSION}\n")
    return copy
