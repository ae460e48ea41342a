"""`make demo` on this machine, from the command line to the report."""

import json
import time

import pytest

from tests.acceptance.conftest import ROOT, listening

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

DEMO_TIMEOUT_S = 360  # the promise: at most six minutes on two cores
INTERRUPT_TIMEOUT_S = 45


def test_the_demo_scales_out_and_in_and_kills_nothing(command, nothing_left_behind) -> None:
    (ROOT / ".local/demo-report.json").unlink(missing_ok=True)
    (ROOT / ".local/demo.png").unlink(missing_ok=True)
    before = listening()
    demo = command("demo")
    addresses = set()
    deadline = time.monotonic() + DEMO_TIMEOUT_S
    while demo.process.poll() is None and time.monotonic() < deadline:
        addresses |= listening() - before
        time.sleep(1)
    assert demo.process.poll() == 0, demo.said[-4000:]
    assert addresses
    assert {host for host, _ in addresses} == {"127.0.0.1"}

    report = json.loads((ROOT / ".local/demo-report.json").read_text())
    assert (report["tasks_total"], report["tasks_succeeded"], report["tasks_killed"]) == (120, 120, 0)
    assert (report["logs_in_bucket"], report["logs_readable"]) == (120, 120)
    assert report["peak_workers"] >= 3
    assert report["final_workers"] == 1
    assert report["seconds_to_first_scale_out"] > 0
    assert report["scale_events"]
    assert all(event["reason"] for event in report["scale_events"])
    assert (ROOT / ".local/demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("moment", "after_s", "presses"),
    [
        ("building the functions", 1, 1),
        ("deploying the template", 2, 1),
        ("starting the services", 8, 1),
        ("running 120 tasks", 20, 2),
    ],
)
def test_ctrl_c_leaves_nothing_behind(command, nothing_left_behind, moment: str, after_s: float, presses: int) -> None:
    demo = command("demo")
    deadline = time.monotonic() + DEMO_TIMEOUT_S
    while moment not in demo.said:
        assert demo.process.poll() is None, demo.said
        assert time.monotonic() < deadline, demo.said
        time.sleep(0.1)
    time.sleep(after_s)
    for _ in range(presses):
        demo.interrupt()
        time.sleep(0.3)
    assert demo.wait(INTERRUPT_TIMEOUT_S) != 0
    assert "interrupted; everything it started has been stopped" in demo.said
