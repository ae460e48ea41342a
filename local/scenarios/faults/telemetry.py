"""The receiver of metrics and traces hangs and refuses, while tasks run and more come."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from local.aws.otlp.receiver import HANGS
from local.scenarios.faults.trial import Burst, Trial
from local.stack.telemetry import read_telemetry, spoil
from project import paths
from project.errors import CommandError
from project.waiting import wait_until

TROUBLES = (HANGS, 403, 429, 500)
# On a local machine containers send each five seconds, so this is as long as ten minutes are on AWS, in all.
EACH_S = 12.5
FIELD = "telemetry_undelivered"  # telemetry.delivery in the image writes it
ARRIVES_WITHIN_S = 60.0
FINISHED = "airflow.ti.finish"


def spoil_telemetry(trial: Trial) -> None:
    """Let the receiver hang, then refuse, in a burst. All that ends meanwhile must be counted when it is well again."""
    endpoint = trial.stack.clients.s3.meta.endpoint_url
    counted_before, said_before = read_telemetry(endpoint).total(FINISHED), undelivered()
    burst = Burst(tasks=120, shortest_s=2, longest_s=8)
    try:
        trial.trigger(burst)
        for trouble in TROUBLES:
            spoil(endpoint, trouble)
            time.sleep(EACH_S)
        trial.finish()
    finally:
        spoil(endpoint, None)
    said = undelivered() - said_before
    trial.figures["undelivered"] = sum(said.values())
    for why in ("403", "429", "500", "Timeout"):
        trial.require(any(why in each for each in said), f"no container said that it could not deliver: {why}")

    def is_counted() -> bool:
        return read_telemetry(endpoint).total(FINISHED) - counted_before >= burst.tasks

    try:
        wait_until(is_counted, what="metrics of the tasks that ended meanwhile", timeout_s=ARRIVES_WITHIN_S)
    except CommandError as error:
        trial.require(False, str(error))


def undelivered() -> Counter[str]:
    """Return how often each reason stands in the containers' logs."""
    found: Counter[str] = Counter()
    for path in paths.LOGS.rglob("*.log"):
        found.update(_reasons(path))
    return found


def _reasons(path: Path) -> list[str]:
    lines = path.read_text(errors="replace").splitlines()
    return [str(json.loads(line)["why"]) for line in lines if line.startswith("{") and f'"{FIELD}"' in line]
