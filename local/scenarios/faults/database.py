"""Postgres freezes in the middle of a burst: sessions stay open, and nothing answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from local.scenarios.faults.capacity import check_capacity
from local.scenarios.faults.trial import LONG_RUN_TIMEOUT_S, Trial
from project.errors import CommandError

FROZEN_S = 60.0
ANSWER_TIMEOUT_S = 30.0  # after the server goes on
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def freeze_postgres(trial: Trial) -> None:
    """Stop every process of Postgres for a while: sessions stay, new ones are accepted, and nothing is answered."""
    trial.trigger_around()
    server = trial.stack.database_server
    with server.superuser(trial.stack.outputs["DatabaseName"]) as session:
        sessions = _ask(session, SESSIONS)
        unanswered_s = ask_while_away(
            lambda: _ask(session, "SELECT 1"), leave=server.freeze, come_back=server.thaw, away_s=FROZEN_S
        )
    trial.figures |= {"frozen_s": FROZEN_S, "sessions": sessions, "query_unanswered_s": round(unanswered_s, 1)}
    trial.require(sessions > 0, "no session of the stack was open: the fault proves nothing")
    trial.require(unanswered_s >= FROZEN_S, "Postgres answered while it was frozen: the fault proves nothing")
    trial.finish(timeout_s=LONG_RUN_TIMEOUT_S)
    check_capacity(trial)


def ask_while_away(
    ask: Callable[[], object], *, leave: Callable[[], object], come_back: Callable[[], object], away_s: float
) -> float:
    """Call `leave`, then `ask` in a thread of its own, and `come_back` after `away_s`.

    Return the seconds from the departure to the answer. Raises CommandError when there is none within ANSWER_TIMEOUT_S
    of the return.
    """

    def answered_at() -> float:
        ask()
        return time.monotonic()

    with ThreadPoolExecutor(1, thread_name_prefix="asking") as pool:
        leave()
        left_at = time.monotonic()
        try:
            answer = pool.submit(answered_at)
            time.sleep(away_s)
        finally:
            come_back()
        try:
            return answer.result(ANSWER_TIMEOUT_S) - left_at
        except (psycopg.Error, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise CommandError(f"no answer of Postgres after it went on: {why}") from error


def _ask(session: psycopg.Connection[Any], query: Any) -> int:
    found = session.execute(query).fetchone()
    return int(found[0]) if found else 0
