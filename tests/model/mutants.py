"""Ways to break the protocol: each changes one thing in production's code, as a mistake would."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from kombu.transport.virtual import base

from agent.conduct import Command, Conduct, Protection, Request, Snapshot, is_fresh
from agent.gates import Permission
from agent.unacked import PatientQoS
from agent.worker import FleetStep
from autoscaler.desired import Plan, Situation
from autoscaler.observation import Service, Worker
from autoscaler.policy import Policy
from autoscaler.revision import MOVING, Rollout, Step
from autoscaler.workers import Workers
from fleet.member import CONSUMING
from fleet.registry import ORDER_CONSUME
from tests.model.messages import Stage
from tests.model.worker import Process

Mutant = Callable[[], AbstractContextManager[Any]]


class _Blind:
    """A task consumer whose channel does not show that a BRPOP is under way."""

    def __init__(self, tasks: Any) -> None:
        self._tasks = tasks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tasks, name)

    @property
    def channel(self) -> SimpleNamespace:
        real = self._tasks.channel
        return SimpleNamespace(qos=real.qos, _in_poll=None, answered_at=real.answered_at)


def _blind(*, sees_unacked: bool, sees_poll: bool) -> Mutant:
    unchanged = FleetStep._tick

    def tick(step: FleetStep, consumer: Any) -> None:
        unchanged(step, SimpleNamespace(task_consumer=_Blind(consumer.task_consumer)))

    @contextmanager
    def mutant() -> Iterator[None]:
        with ExitStack() as changed:
            if not sees_poll:
                changed.enter_context(patch.object(FleetStep, "_tick", tick))
            if not sees_unacked:
                changed.enter_context(patch.object(Process, "count_active", _count_running))
            yield

    return mutant


def _count_running(process: Process) -> int:
    return sum(message.stage in (Stage.RESERVED, Stage.ACTIVE) for message in process.messages)


def _forget_epoch(conduct: Conduct, snapshot: Snapshot | None, now: float) -> bool:
    return is_fresh(snapshot, now) and snapshot.idle and not conduct._command.consume


def _consume_by_order(conduct: Conduct, now: float) -> Command:
    consume = conduct._order == ORDER_CONSUME and not conduct._stopping
    if consume != conduct._command.consume:
        conduct._command = Command(consume=consume, epoch=conduct._command.epoch + 1)
    return conduct._command


def _consume_without_permission(conduct: Conduct, now: float) -> Command:
    held = conduct._protection is Protection.HELD and now < conduct._lease_until
    consume = conduct._order == ORDER_CONSUME and held and not conduct._stopping
    if consume != conduct._command.consume:
        conduct._command = Command(consume=consume, epoch=conduct._command.epoch + 1)
    return conduct._command


def _release_by_order(conduct: Conduct, _snapshot: Snapshot | None, _now: float) -> Request:
    if conduct._order != ORDER_CONSUME:
        return Request.NOTHING if conduct._protection is Protection.NOT_HELD else Request.UNPROTECT
    return Request.NOTHING if conduct._protection is Protection.HELD else Request.PROTECT


def _believe() -> AbstractContextManager[Any]:
    answered = Conduct.answered

    def believing(conduct: Conduct, request: Request, *, granted: bool | None, asked_at: float, now: float) -> None:
        answered(conduct, request, granted=True if granted is None else granted, asked_at=asked_at, now=now)

    return patch.object(Conduct, "answered", believing)


DRAINING: dict[str, Mutant] = {
    "protection is dropped without two seconds of idleness": lambda: patch("agent.conduct.CONFIRM_IDLE_S", 0.0),
    "protection is dropped with a message not acknowledged": _blind(sees_unacked=False, sees_poll=True),
    "protection is dropped while a message is being popped": _blind(sees_unacked=True, sees_poll=False),
    "protection is dropped without the in-flight check": _blind(sees_unacked=False, sees_poll=False),
    "protection is dropped as soon as ordered": lambda: patch.object(Conduct, "_request_due", _release_by_order),
    "a stale confirmation survives a flip": lambda: patch.object(Conduct, "_is_idle", _forget_epoch),
    "a worker consumes before it is protected": lambda: patch.object(Conduct, "command", _consume_by_order),
    "a lost answer is taken for a grant": _believe,
    "a request without an answer is taken for a failed one": lambda: patch("agent.conduct.LATE_EFFECT_S", 0.0),
}
LEASE: dict[str, Mutant] = {
    "a lease is never renewed": lambda: patch("agent.conduct.RENEW_EVERY_S", float("inf")),
    "a lease is trusted after its end": lambda: patch("agent.conduct.LEASE_MARGIN_S", -3600.0),
}


def _permit_always(permission: Permission, _webservers: object, *, now: float) -> None:
    permission.is_given = True


GATES: dict[str, Mutant] = {
    "a worker takes tasks of an older webserver": lambda: patch.object(Permission, "check", _permit_always),
    "a permission never expires": lambda: patch("agent.fleet_agent.PERMITTED_FOR_S", float("inf")),
    "a worker without permission only asks for no protection": lambda: patch.object(
        Conduct, "command", _consume_without_permission
    ),
}


def _release_draining(situation: Situation, plan: Plan, *, desired: int) -> tuple[Worker, ...]:
    """Draining workers are taken for drained ones, and no longer for some that may hold protection."""
    workers, service = situation.workers, situation.service
    draining = len(workers.recallable) - len(workers.stoppable)
    floor = max(plan.minimum, workers.may_hold_protection(service) - draining)
    return workers.recallable[: max(0, desired - floor)]


SCALING: dict[str, Mutant] = {
    "desired is lowered by draining workers": lambda: patch("autoscaler.desired.to_stop", _release_draining),
    "desired is lowered below what may be protected": lambda: patch.object(
        Workers, "may_hold_protection", lambda _workers, _service: 0
    ),
    "stopping workers are forgotten": lambda: patch("autoscaler.decide.still_stopping", lambda *_, **__: {}),
}


def _drain_at_once(workers: Workers, chosen: Collection[str]) -> tuple[tuple[Worker, ...], tuple[Worker, ...]]:
    """Let those that retire drain before others consume in their place."""
    unneeded = [w for w in workers.serving if w.state == CONSUMING and w.id not in chosen]
    retiring = tuple(w for w in workers.serving if w.state == CONSUMING and w.id in workers.retiring)
    return retiring, tuple(w for w in unneeded if w not in retiring)


RETIREMENT: dict[str, Mutant] = {
    "a notice is not heeded": lambda: patch("autoscaler.decide.retiring", lambda *_, **__: frozenset()),
    "workers retire before others consume": lambda: patch("autoscaler.desired.split_unneeded", _drain_at_once),
    "a worker that retires is not replaced": lambda: patch(
        "autoscaler.desired.replacements_wanted", lambda *_, **__: 0
    ),
    "a worker that retires is recalled": lambda: patch.object(
        Workers, "available", property(lambda workers: workers.usable)
    ),
}


def _try_again(rollout: Rollout, *_: object, **__: object) -> Step:
    return Step(rollout=replace(rollout, phase=MOVING), move_to=rollout.revision)


def _go_back_to_the_last(rollout: Rollout, revision: str, *, service: Service, now: float) -> Rollout:
    return Rollout(revision=revision, phase=MOVING, previous=service.revision, began_at=now, at=now)


ROLLOUTS: dict[str, Mutant] = {
    "the service is not moved": lambda: patch("autoscaler.tick.set_revision", lambda *_, **__: None),
    "a version that does not work is kept": lambda: patch("autoscaler.revision._may_return", lambda *_: False),
    "a version that was given up is tried again": lambda: patch("autoscaler.revision._elsewhere", _try_again),
    "a version that CloudFormation rolled back is kept": lambda: patch(
        "autoscaler.revision._is_later", lambda *_, **__: False
    ),
    "a version that ECS set back is given up": lambda: patch("autoscaler.revision.MOST_REPEATS", 0),
    "it goes back to a version that never worked": lambda: patch("autoscaler.revision._begin", _go_back_to_the_last),
}

SLEEP: dict[str, Mutant] = {
    "a pool asleep is scaled like any other": lambda: patch.object(Policy, "asleep", property(lambda policy: policy)),
}

BROKER: dict[str, Mutant] = {
    "a worker is believed to consume without proof": lambda: patch.object(Conduct, "trouble", lambda *_: ""),
    "a connection that hangs is kept": lambda: patch.object(FleetStep, "_require_answers", lambda *_: None),
    "a worker that nothing can help stays": lambda: patch.object(Conduct, "is_beyond_help", lambda *_, **__: False),
    "a lost connection's messages are queued again": lambda: patch.object(
        PatientQoS, "restore_unacked_once", base.QoS.restore_unacked_once
    ),
}

MEMORY: dict[str, Mutant] = {
    "a worker without memory counts with all its slots": lambda: patch.object(
        Process, "count_slots", lambda _process, declared, _active: declared
    ),
}
