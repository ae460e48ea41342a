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
from fleet.registry import Roster

log = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0
SAY_AGAIN_EVERY_S = 60.0
TERMINATED = 128 + signal.SIGTERM


def take_turn(rule: Rule, environment: Mapping[str, str], *, limit_s: float) -> None:
    """Wait until the gate is open. A member of the fleet reports as starting meanwhile.

    A heartbeat shows the container's health check that it waits. SIGTERM ends the process in an orderly way; its
    handler is restored afterwards.
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
            limit_s=limit_s,
        )


def wait(
    rule: Rule, *, read: Callable[[], Roster], code: Callable[[], Code], report: Callable[[], None], limit_s: float
) -> None:
    """Read the fleet every CHECK_EVERY_S until the gate is open. `read` may raise redis.RedisError."""
    gate = Gate(limit_s=limit_s, now=time.monotonic())
    said, say_at, report_at = "", 0.0, 0.0
    while True:
        try:
            roster = read()
        except redis.RedisError:
            roster = None
        now = time.monotonic()
        passage = gate.check(roster, rule=rule, code=code(), now=now)
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
