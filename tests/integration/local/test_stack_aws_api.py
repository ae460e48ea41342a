"""The local stack ends when its AWS API dies, and only then."""

# ruff: noqa: PT012 - the blocks are what is interrupted

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from local.stack.aws_api import aws_api
from local.stack.failure import Failure
from project import paths
from project.errors import CommandError
from tests.support.aws_api import BROKER, DATABASE
from tests.support.processes import arguments

WAIT_S = 30.0


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOGS", "STATE", "TEMPORARY"):
        monkeypatch.setattr(paths, name, tmp_path)
    return tmp_path


def running(on_failure: Callable[[str], None]) -> AbstractContextManager[str]:
    return aws_api(
        database=DATABASE, broker=BROKER, broker_administrator="redis://127.0.0.1:1/0", on_failure=on_failure
    )


def the_process(address: str) -> psutil.Process:
    port = address.rpartition(":")[2]
    (found,) = [p for p in psutil.Process().children() if port in arguments(p)]
    return found


def test_the_death_of_the_aws_api_ends_the_stack_with_one_line(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = f"^the AWS API of the stack ended with exit code -9; see {logs}/aws-api.log$"
    with pytest.raises(CommandError, match=line), Failure() as failure, running(failure.report) as address:
        process, killed_at = the_process(address), time.monotonic()
        with failure.interrupting():
            process.kill()
            time.sleep(WAIT_S)
    assert time.monotonic() - killed_at < WAIT_S / 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("logs")
def test_the_end_of_the_stack_is_no_death_of_its_aws_api() -> None:
    reasons: list[str] = []
    with running(reasons.append) as address:
        process = the_process(address)
        (watching,) = [t for t in threading.enumerate() if t.name == "aws api"]
    watching.join(WAIT_S)
    assert not process.is_running()
    assert reasons == []
