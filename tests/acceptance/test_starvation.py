"""The fault `starvation` as an operator provokes it, with a flood of two and a half minutes in place of ten."""

import json
import sys
from collections.abc import Callable

import pytest

from local.scenarios.faults.ten_pools import MEASURED
from tests.acceptance.conftest import Command

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(1300)]

FLOOD = 500
TIMEOUT_S = 1200
# A starved pool waits for the flood, two and a half minutes. `make faults` compares the waits with those without a
# flood; this machine may do other things in one of the two parts.
LONGER_S = 60.0


def test_a_flooded_pool_delays_no_other_pool_and_fails_nothing(
    command: Callable[..., Command], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONLY", "starvation")
    monkeypatch.setenv("FLAGS", f"--flood {FLOOD}")
    faults = command("faults")
    faults.wait(TIMEOUT_S)
    assert (faults.state / "faults.json").is_file(), faults.said[-4000:]
    (record,) = json.loads((faults.state / "faults.json").read_text())
    with capsys.disabled():
        sys.stdout.write(f"\n{record}\n")
    assert [problem for problem in record["problems"] if "of the tasks waited" not in problem] == []
    assert (record["name"], record["flood"]) == ("starvation", FLOOD)
    assert (record["failed"], record["lost"], record["retried"], record["requeued"]) == (0, 0, 0, 0)
    beside = {name.removesuffix("_beside_s"): wait for name, wait in record.items() if name.endswith("_beside_s")}
    assert len(beside) == len(MEASURED)
    assert [pool for pool, wait in beside.items() if wait > record[f"{pool}_alone_s"] + LONGER_S] == []
