"""AWS refuses the functions' calls, or answers them with what is not whole, in the middle of a burst."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fleet.member import DRAINED, DRAINING
from local.scenarios.faults.skew import CHECK_OUTPUT
from local.scenarios.faults.trial import LONG_RUN_TIMEOUT_S, Trial
from local.scenarios.sampling import WorkerSample
from local.servers.troubled_api import WRONG, HttpAnswer, Refusal, Trouble, TroubledApi
from project.waiting import wait_until

EACH_S = 12.0
LATE_S = 6.0  # longer than a function waits for an answer
# An invocation lasts a minute, and the next one begins with the next minute.
INVOKED_TIMEOUT_S = 150.0
# What was decided before the trouble may be carried out in its first seconds.
IN_FLIGHT_S = 10.0


def _late(answer: HttpAnswer) -> HttpAnswer:
    return replace(answer, delay_s=LATE_S)


KINDS: Mapping[str, Trouble | Refusal] = {
    **{
        name: WRONG[name]
        for name in (
            *("throttled", "expired credentials", "another clock", "nothing with status 503"),
            *("cut off", "corrupted", "dropped"),
        )
    },
    "late": _late,
}


def trouble(trial: Trial) -> None:
    """Spoil all answers to the functions in one way after another; the workers must stay as they are meanwhile."""
    rules, endpoint = trial.stack.rules, trial.stack.clients.endpoint
    functions = [rules.function(name) for name in (trial.observed.autoscaler, trial.stack.outputs[CHECK_OUTPUT])]
    with contextlib.closing(TroubledApi(int(endpoint.rpartition(":")[2]))) as api:
        rules.reach(api.url)
        try:
            wait_until(lambda: bool(api.calls), what="a call of a function", timeout_s=INVOKED_TIMEOUT_S)
            trial.trigger_around()
            failures = [function.failures for function in functions]
            began, since = time.monotonic(), time.time()
            calls = _spoil(api)
            ended, until = time.monotonic(), time.time()
            trial.finish(timeout_s=LONG_RUN_TIMEOUT_S)
        finally:
            rules.reach(endpoint)
    raised = sum(f.failures for f in functions) - sum(failures)
    said = [d for d in trial.observed.decisions_since(since) if d["t"] <= until and has_trouble(d)]
    samples = [s for s in trial.observed.workers.since(began + IN_FLIGHT_S) if s.at <= ended]
    drained = began_to_drain(samples)
    trial.figures |= {"spoiled_calls": sum(calls.values()), "ticks_in_trouble": len(said), "raised": raised}
    unmet = [kind for kind, count in calls.items() if not count]
    trial.require(not unmet, f"no call of a function was answered with: {', '.join(unmet)}")
    trial.require(bool(said), "the autoscaler said nothing of AWS's answers: the fault proves nothing")
    trial.require(not raised, f"a function raised an error {raised} times")
    trial.require(not drained, f"{len(drained)} workers were ordered to drain by what AWS had not said")


def _spoil(api: TroubledApi) -> dict[str, int]:
    """Spoil all answers in each way for a while; return how many calls each way met."""
    calls = {}
    try:
        for name, kind in KINDS.items():
            before = len(api.calls)
            api.spoil_all(kind)
            time.sleep(EACH_S)
            calls[name] = len(api.calls) - before
    finally:
        api.spoil_all(None)
    return calls


def has_trouble(decision: Mapping[str, Any]) -> bool:
    """Whether a decision of the autoscaler says what it could not read or not do."""
    return bool(decision.get("unreadable") or decision.get("problems"))


def began_to_drain(samples: Sequence[WorkerSample]) -> frozenset[str]:
    """Return the ids of the workers that began to drain after the first sample."""
    drains = [frozenset(w.id for w in s.workers if w.state in (DRAINING, DRAINED)) for s in samples]
    return frozenset().union(*drains) - drains[0] if drains else frozenset()
