"""ECS refuses task protection while workers start and while they drain."""

from __future__ import annotations

import time

from local.fargate.endpoint import Answer
from local.scenarios.faults.ground import Burst, Ground, Trial

REFUSED_S = 8.0  # while new workers ask for protection, and again while drained ones want to give it up
SERVER_ERROR: Answer = (500, {"error": {"Code": "ServerException", "Message": "injected"}})
BLOCKED: Answer = (200, {"failure": {"Arn": "", "Reason": "DEPLOYMENT_BLOCKED", "Detail": "injected"}})


def protection_fails(ground: Ground, trial: Trial, *, answer: Answer) -> None:
    """New workers get no protection, so they must not consume; drained ones cannot give it up, so they must stay."""
    endpoint = ground.stack.agent.endpoint
    endpoint.fail_with(*answer)
    ground.trigger(trial, Burst(tasks=50, shortest_s=2, longest_s=8))
    ground.see("workers that wait for protection", lambda s: s.starting > 0 and s.queued > 0)
    refused_from = time.monotonic()
    time.sleep(REFUSED_S)
    consumed = max((s.consuming for s in ground.watch.since(refused_from)), default=0)
    trial.figures["consumed_unprotected"] = consumed - ground.minimum
    trial.require(consumed == ground.minimum, f"{consumed} workers consumed while protection was refused")
    endpoint.recover()
    ground.finish(trial)

    ground.see("workers that drain", lambda s: s.draining > 0)
    endpoint.fail_with(*answer)
    refused_from, stopped_before = time.monotonic(), ground.stopped_workers()
    time.sleep(REFUSED_S)
    still = [s for s in ground.watch.since(refused_from) if any(w.protected for w in s.workers)]
    trial.figures["stopped_while_refused"] = ground.stopped_workers() - stopped_before
    trial.require(bool(still), "no worker kept its protection while it could not give it up")
    endpoint.recover()
