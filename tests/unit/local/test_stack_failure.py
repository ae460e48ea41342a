"""The end of the stack when one of its threads dies."""

# ruff: noqa: PT012 - the blocks are what is interrupted

import http.client
import logging
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from local.servers.ports import HOST, PortTakenError
from local.servers.threads import HttpServer
from local.stack.failure import Failure
from project import paths
from project.errors import CommandError

WAIT_S = 30.0


def dies(error: BaseException) -> threading.Thread:
    def run() -> None:
        raise error

    thread = threading.Thread(target=run, name="database")
    thread.start()
    return thread


def test_the_death_of_a_thread_ends_what_the_main_thread_waits_for(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    line = f"thread 'database' of the stack died: port 4711 on 127.0.0.1 is taken by another process; see {paths.STATE}"
    with pytest.raises(CommandError, match=f"^{line}/local.log$"), Failure() as failure, failure.interrupting():
        dies(PortTakenError(4711))
        time.sleep(WAIT_S)
    assert time.monotonic() - began < WAIT_S / 2
    assert capfd.readouterr() == ("", "")


def test_an_unexpected_exception_is_named_and_its_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CommandError, match=r"died: KeyError: 'x';"), Failure() as failure, failure.interrupting():
        dies(KeyError("x"))
        time.sleep(WAIT_S)
    assert "Traceback" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_no_handler_of_errors_on_the_way_keeps_the_stack_alive() -> None:
    with pytest.raises(CommandError, match="the first"), Failure() as failure, failure.interrupting():
        try:
            failure.report("the first")
            time.sleep(WAIT_S)
        except Exception:  # noqa: BLE001 - what must not catch it
            time.sleep(WAIT_S)


def test_the_first_reason_is_told_and_no_consequence_of_it() -> None:
    with pytest.raises(CommandError, match=r"^the cause$"), Failure() as failure:
        failure.report("the cause")
        failure.report("a consequence")
        raise CommandError("another consequence, which the main thread noticed before")


def test_the_clean_up_is_not_interrupted() -> None:
    cleaned_up = False
    with pytest.raises(CommandError, match=r"^late$"), Failure() as failure:
        with failure.interrupting():
            pass
        failure.report("late")
        time.sleep(0.05)
        cleaned_up = True
    assert cleaned_up


def test_an_interrupt_by_the_operator_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt), Failure() as failure:
        failure.report("the cause")
        raise KeyboardInterrupt


def test_without_a_failure_nothing_happens_and_the_hook_is_given_back() -> None:
    hook = threading.excepthook
    with Failure() as failure, failure.interrupting():
        assert threading.excepthook != hook
    assert threading.excepthook == hook
    signal.raise_signal(signal.SIGUSR1)


class Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        raise BrokenPipeError if self.path == "/left" else LookupError("a bug")

    def log_message(self, *_: object) -> None:
        pass


def test_a_request_that_fails_is_reported_unless_its_client_left(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    server = HttpServer(Broken, name="broken")
    for path in ("/left", "/"):
        connection = http.client.HTTPConnection(HOST, server.server_port, timeout=WAIT_S)
        connection.request("GET", path)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()
    server.close()
    assert [args.exc_type for args in reported] == [LookupError]
