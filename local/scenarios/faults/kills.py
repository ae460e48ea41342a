"""A worker dies with its tasks."""

from __future__ import annotations

import time

from local.scenarios.faults.ground import Burst, Ground, Trial
from local.scenarios.faults.watch import EVERY_S, Sight
from project.errors import CommandError
from project.waiting import wait_until

ALL_RUNNING_TIMEOUT_S = 120.0
LOOKS_THAT_AGREE = 2
DECISION_TIMEOUT_S = 60.0


def worker_killed(ground: Ground, trial: Trial) -> None:
    """The tasks of the killed worker are tried again, once; what it leaves in `unacked` moves no decision."""
    run_id = ground.trigger(trial, Burst(tasks=3 * ground.slots, shortest_s=25, longest_s=30))
    sight = _all_running(ground, run_id)
    before = ground.phantoms() - sight.active
    # The one that started last: none of its tasks is about to end.
    victim = max((w for w in sight.workers if w.active), key=lambda w: w.started_at)
    ground.stack.agent.kill(victim.task_arn)
    killed_at = time.monotonic()
    trial.retries_due = victim.active
    ground.finish(trial)
    trial.figures["seconds_until_done"] = round(time.monotonic() - killed_at)
    ground.settle()
    ghosts = ground.phantoms() - before
    trial.figures["ghosts"] = ghosts
    trial.require(ghosts == victim.active, f"{ghosts} ghosts in `unacked`, not {victim.active}: nothing was proved")
    settled_at = time.time()
    wait_until(
        lambda: bool(ground.decisions_since(settled_at)),
        what="a decision after the return",
        timeout_s=DECISION_TIMEOUT_S,
    )
    last = ground.decisions_since(settled_at)[-1]
    trial.require(last.get("active") == 0 and last.get("needed") == ground.minimum, f"ghosts moved a decision: {last}")


def _all_running(ground: Ground, run_id: str) -> Sight:
    """Wait until several workers are busy and every task that any of them has is known to Airflow as running."""
    deadline, in_a_row = time.monotonic() + ALL_RUNNING_TIMEOUT_S, 0
    while time.monotonic() < deadline:
        sight = ground.see("two busy workers", lambda s: sum(w.active > 0 for w in s.workers) > 1)
        in_a_row = in_a_row + 1 if ground.running(run_id) == sight.active else 0
        if in_a_row == LOOKS_THAT_AGREE:
            return sight
        time.sleep(EVERY_S)
    raise CommandError("the tasks of the workers and those that Airflow knows to run did not agree for a moment")
