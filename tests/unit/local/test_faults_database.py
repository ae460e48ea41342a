"""The fault that freezes Postgres proves that nothing answered."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from local.scenarios.faults import database
from local.scenarios.faults.database import ask_while_away
from project.errors import CommandError

AWAY_S = 0.2


def test_an_answer_that_comes_with_the_return_took_at_least_the_whole_time() -> None:
    back = threading.Event()
    seconds = ask_while_away(lambda: back.wait(30), leave=back.clear, come_back=back.set, away_s=AWAY_S)
    assert seconds >= AWAY_S


def test_an_answer_meanwhile_took_less() -> None:
    asked = threading.Event()
    seconds = ask_while_away(asked.set, leave=lambda: None, come_back=lambda: asked.wait(30), away_s=AWAY_S)
    assert seconds < AWAY_S


def test_the_server_comes_back_also_when_the_fault_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    back = threading.Event()
    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask_while_away(lambda: back.wait(30), leave=lambda: None, come_back=back.set, away_s=AWAY_S)
    assert back.is_set()


def test_a_query_that_fails_after_the_return_is_one_line() -> None:
    def fail() -> None:
        raise psycopg.OperationalError("the connection is lost")

    with pytest.raises(CommandError, match="no answer of Postgres after it went on: the connection is lost"):
        ask_while_away(fail, leave=lambda: None, come_back=lambda: None, away_s=0)


def test_a_query_that_is_not_answered_after_the_return_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ANSWER_TIMEOUT_S", 0.05)
    late = threading.Event()
    threading.Timer(0.3, late.set).start()
    with pytest.raises(CommandError, match="no answer of Postgres after it went on: TimeoutError"):
        ask_while_away(lambda: late.wait(30), leave=lambda: None, come_back=lambda: None, away_s=0)
