"""AWS retires the stack's ECS tasks in the middle of a burst: it gives notice, then it stops what has drained."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from fleet.member import CONSUMING, DRAINED, DRAINING, Member
from local.scenarios.faults.capacity import check_capacity
from local.scenarios.faults.trial import LONG_RUN_TIMEOUT_S, Burst, Trial
from local.scenarios.sampling import WorkerSample
from project.waiting import wait_until
from shared.tags import RETIRE_TAG
from stack.sections.retirement import NOTICE

SOURCE, DETAIL_TYPE = "aws.health", "AWS Health Event"
# What ECS gives as the reason of a task that it stopped for the maintenance of Fargate.
STOPPED_BY_AWS = "ECS is performing maintenance on the underlying infrastructure hosting the task."
WORKERS, REPLACED = "WorkerServiceName", ("AirflowServiceName", "FlowerServiceName")  # outputs
# The notice's time has whole seconds: a worker is older by it only a second after its start.
LEAST_AGE_S = 2.0
RECORD_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 240.0  # after the last task that a fault waits for has ended
REPLACEMENT_TIMEOUT_S = 400.0  # of `airflow`, beside workers that start on two cores
AFTER = Burst(tasks=12, shortest_s=1, longest_s=5)


def retire(trial: Trial) -> None:
    """Give notice while tasks run, stop a worker as soon as it has drained, and wait until no named task is left."""
    trial.trigger_around()
    retirement = Retirement(trial)
    retirement.give_notice()
    trial.finish(timeout_s=LONG_RUN_TIMEOUT_S, meanwhile=retirement.stop_first_drained)
    retirement.await_replacements()
    trial.trigger(AFTER)
    trial.finish()
    retirement.judge()
    check_capacity(trial)


class Retirement:
    """The ECS tasks that a notice names, and what becomes of them."""

    def __init__(self, trial: Trial) -> None:
        """Choose the workers that consume, and the ECS tasks of the services that a deployment replaces."""
        self._trial, self._outputs = trial, trial.stack.outputs
        self._ecs: Any = trial.stack.clients.ecs
        self._cluster = self._outputs["ClusterName"]
        sample = trial.observed.wait_for("two workers to retire", lambda s: len(_old_enough(s.workers)) > 1)
        self._workers = frozenset(w.task_arn for w in _old_enough(sample.workers))
        self._replaced = {output: self._running(output) for output in REPLACED if output in self._outputs}
        self._noticed_at = self._noticed_since = 0.0
        self._stopped = 0

    def give_notice(self) -> None:
        """Publish AWS Health's event; wait until the services of all that it names are tagged. Raises CommandError."""
        trial = self._trial
        self._noticed_at, self._noticed_since = time.monotonic(), time.time()
        services = [f"{self._cluster}|{self._outputs[output]}" for output in self._replaced]
        trial.stack.rules.publish(SOURCE, DETAIL_TYPE, **notice((*sorted(self._workers), *services), self._region))
        wait_until(self._is_recorded, what="a record of the notice", timeout_s=RECORD_TIMEOUT_S)
        trial.figures |= {
            "named_workers": len(self._workers),
            "recorded_after_s": round(time.monotonic() - self._noticed_at, 1),
        }

    def stop_first_drained(self) -> None:
        """Stop one named worker as soon as it has drained, whether or not the autoscaler is about to."""
        sample = self._trial.observed.workers.latest()
        drained = [w for w in sample.workers if self._is_named(w) and w.state == DRAINED] if sample else []
        if drained and not self._stopped:
            self._stopped += self._stop(drained[0].task_arn)

    def await_replacements(self) -> None:
        """Wait until no named task is left, except the worker of the long task. Raises CommandError."""
        allowed = int(self._trial.long_task_s > 0)
        self._trial.observed.wait_for(
            "the end of the named workers", lambda s: self._are_gone(s, busy=allowed), timeout_s=DRAIN_TIMEOUT_S
        )
        wait_until(
            lambda: not any(map(self._left, self._replaced)),
            what="replacement of airflow and flower",
            timeout_s=REPLACEMENT_TIMEOUT_S,
        )
        self._trial.figures["replaced_after_s"] = round(time.monotonic() - self._noticed_at)

    def judge(self) -> None:
        """Require that the notice made the named workers drain, with tasks, after others consumed in their place."""
        trial, observed = self._trial, self._trial.observed
        samples = observed.workers.since(self._noticed_at)
        busy, idle = drained_busy(samples, self._workers), ended_idle(samples, self._workers)
        least = min((sample.consuming for sample in samples), default=0)
        decided = sum("retire" in str(each.get("reason")) for each in observed.decisions_since(self._noticed_since))
        trial.figures |= {
            "decisions_to_retire": decided,
            "drained_while_busy": len(busy),
            "ended_without_tasks": len(idle),
            "stopped_by_aws": self._stopped,
            "least_consuming": least,
        }
        trial.require(decided > 0, "the autoscaler retired no worker: the fault proves nothing")
        trial.require(bool(busy), "no named worker had tasks when it drained: the fault proves nothing")
        trial.require(bool(idle), "no named worker ended without tasks")
        trial.require(least >= observed.minimum, f"only {least} workers consumed at some time after the notice")

    @property
    def _region(self) -> str:
        return self._trial.stack.clients.region

    def _is_named(self, worker: Member) -> bool:
        return worker.task_arn in self._workers

    def _are_gone(self, sample: WorkerSample, *, busy: int) -> bool:
        """Whether of the named workers only those are left that drain with `busy` tasks in all."""
        left = [worker for worker in sample.workers if self._is_named(worker)]
        return sum(w.active for w in left) <= busy and all(w.state == DRAINING and w.active for w in left)

    def _is_recorded(self) -> bool:
        names = [self._outputs[output] for output in (WORKERS, *self._replaced)]
        described = self._ecs.describe_services(cluster=self._cluster, services=names, include=["TAGS"])["services"]
        return all(any(tag["key"] == RETIRE_TAG for tag in service.get("tags", ())) for service in described)

    def _running(self, output: str) -> frozenset[str]:
        """Return the ARNs of the tasks that a service runs."""
        listed = self._ecs.list_tasks(cluster=self._cluster, serviceName=self._outputs[output])
        return frozenset(listed["taskArns"])

    def _left(self, output: str) -> frozenset[str]:
        return self._replaced[output] & self._running(output)

    def _stop(self, arn: str) -> int:
        """Stop the task as AWS does; return 1, or 0 when ECS has stopped it already."""
        task = self._ecs.stop_task(cluster=self._cluster, task=arn, reason=STOPPED_BY_AWS)["task"]
        return int(task.get("stopCode") == "UserInitiated")


def notice(named: Iterable[str], region: str) -> dict[str, Any]:
    """Return `resources` and `detail` of AWS Health's event for what is named: ARNs of tasks, `cluster|service`."""
    entities = [{"entityValue": each} for each in named]
    return {
        "resources": [entity["entityValue"] for entity in entities],
        "detail": {
            "service": "ECS",
            "eventTypeCode": NOTICE,
            "eventTypeCategory": "scheduledChange",
            "eventRegion": region,
            "affectedEntities": entities,
        },
    }


def drained_busy(samples: Sequence[WorkerSample], named: frozenset[str]) -> frozenset[str]:
    """Return the ARNs of the named workers that drained while they had tasks."""
    return frozenset(
        w.task_arn for s in samples for w in s.workers if w.task_arn in named and w.state == DRAINING and w.active
    )


def ended_idle(samples: Sequence[WorkerSample], named: frozenset[str]) -> frozenset[str]:
    """Return the ARNs of the named workers that are gone in the last sample and had no task in their own last one."""
    last = {w.task_arn: w.active for s in samples for w in s.workers if w.task_arn in named}
    left = {w.task_arn for s in samples[-1:] for w in s.workers}
    return frozenset(arn for arn, active in last.items() if not active and arn not in left)


def _old_enough(workers: Iterable[Member]) -> list[Member]:
    now = time.time()
    return [w for w in workers if w.state == CONSUMING and now - w.started_at >= LEAST_AGE_S]
