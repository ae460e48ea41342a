"""`make prewarm` as an operator runs it: a scheduled run finds its workers consuming."""

import re
import sys
from collections.abc import Callable

import pytest

from tests.acceptance.conftest import Command

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(900)]

PREWARM_TIMEOUT_S = 800
WAITS = re.compile(r"^with(?:out)? a forecast: .*$", re.MULTILINE)


def test_a_run_due_at_a_known_minute_finds_its_workers_consuming(
    command: Callable[..., Command], capsys: pytest.CaptureFixture[str]
) -> None:
    prewarm = command("prewarm")
    code = prewarm.wait(PREWARM_TIMEOUT_S)
    found = WAITS.findall(prewarm.said)
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *found, ""]))
    assert code == 0, prewarm.said[-4000:]
    assert [waits.split(" ", 1)[0] for waits in found] == ["without", "with"]
