"""The fault `starvation` as an operator provokes it, with a flood of two and a half minutes in place of ten."""

import json
import sys
from collections.abc import Callable

import pytest

from tests.acceptance.conftest import Command

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(1300)]

FLOOD = 500
TIMEOUT_S = 1200


def test_a_flooded_pool_delays_no_other_pool_and_fails_nothing(
    command: Callable[..., Command], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONLY", "starvation")
    monkeypatch.setenv("FLAGS", f"--flood {FLOOD}")
    faults = command("faults")
    code = faults.wait(TIMEOUT_S)
    assert code == 0, faults.said[-4000:]
    (record,) = json.loads((faults.state / "faults.json").read_text())
    with capsys.disabled():
        sys.stdout.write(f"\n{record}\n")
    assert (record["name"], record["holds"], record["flood"]) == ("starvation", True, FLOOD)
    assert (record["failed"], record["lost"], record["retried"], record["requeued"]) == (0, 0, 0, 0)
