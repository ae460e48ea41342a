"""Delays a container's start until its turn in a deployment, and logs which members it waits for."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping

import redis

from agent import heartbeat, variables
from agent.broker import registry_of
from agent.gates import Gate, Rule
from agent.identity import read_code, read_identity
from agent.reporter import REPORT_EVERY_S, Reporter
from agent.versions import CodeWatch
from fleet.member import STARTING, Code
from fleet.pools import POOLS, read_pools
from fleet.registry import Registry, Roster

log = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0
SAY_AGAIN_EVERY_S = 60.0
TERMINATED = 128 + signal.SIGTERM
GIVEN_UP = 3  # exit code


def take_turn(rule: Rule, environment: Mapping[str, str], *, limit_s: float) -> None:
    """Wait until the gate is open. A member of the fleet reports as starting meanwhile.

    A heartbeat shows the container's health check that it waits. SIGTERM ends the process in an orderly way; its
    handler is restored afterwards. The process ends with GIVEN_UP if the autoscaler has given up the workers with the
    image that the environment names; one that names none waits to the limit.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    registry, watch = registry_of(environment), CodeWatch(environment)
    reporter = None
    if variables.TASK_ARN in environment:
        reporter = Reporter(read_identity(environment), registry, watch, state=STARTING)
    with contextlib.ExitStack() as ends:
        on_sigterm = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
        ends.callback(signal.signal, signal.SIGTERM, on_sigterm)
        if reporter is not None:
            ends.callback(reporter.forget)
        ends.callback(heartbeat.end, environment, heartbeat.WAITING)
        wait(
            rule,
            read=registry.members,
            code=lambda: read_code(environment, watch.dags_hash()),
            report=lambda: _report(environment, reporter),
            is_given_up=_given_up_by(registry, environment),
            limit_s=limit_s,
        )


def _given_up_by(registry: Registry, environment: Mapping[str, str]) -> Callable[[], bool]:
    """Return what asks the registry whether the workers with this image are given up. It raises redis.RedisError."""
    image = environment.get(variables.IMAGE_URI)
    if not image:
        return lambda: False
    pools = [pool.name for pool in read_pools(environment[POOLS], with_limits=False)]
    return lambda: image in registry.images_given_up(pools)


def wait(
    rule: Rule,
    *,
    read: Callable[[], Roster],
    code: Callable[[], Code],
    report: Callable[[], None],
    limit_s: float,
    is_given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Read the fleet every CHECK_EVERY_S until the gate is open.

    `read` and `is_given_up` may raise redis.RedisError.
    """
    gate = Gate(limit_s=limit_s, now=time.monotonic())
    said, say_at, report_at = "", 0.0, 0.0
    while True:
        try:
            roster, given_up = read(), is_given_up()
        except redis.RedisError:
            roster, given_up = None, False
        now = time.monotonic()
        passage = gate.check(roster, rule=rule, code=code(), now=now, is_given_up=given_up)
        if passage.has_failed:
            log.error("gate: the autoscaler has given up the workers with this image; still there: %s", passage.why)
            sys.exit(GIVEN_UP)
        if passage.is_open:
            break
        if now >= report_at:
            report()
            report_at = now + REPORT_EVERY_S
        if passage.why and (passage.why != said or now >= say_at):
            log.warning("gate: waits for %s", passage.why)
            said, say_at = passage.why, now + SAY_AGAIN_EVERY_S
        time.sleep(CHECK_EVERY_S)
    if passage.why:
        log.error("gate: time limit reached: tasks may start on a worker of other code; still there: %s", passage.why)
    else:
        log.info("gate: open")


def _report(environment: Mapping[str, str], reporter: Reporter | None) -> None:
    with contextlib.suppress(OSError):  # the health check then fails, which its start period tolerates
        heartbeat.beat(environment, heartbeat.WAITING)
    if reporter is not None:
        reporter.report()
