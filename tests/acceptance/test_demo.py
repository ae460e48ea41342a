"""`make demo` on this machine, from the command line to the report."""

import json
import time
from collections.abc import Callable
from ipaddress import ip_address
from xml.etree import ElementTree

import pytest

from tests.acceptance.conftest import Command
from tests.support.granted_actions import unlisted

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

DEMO_TIMEOUT_S = 360  # the promise: at most six minutes on two cores
INTERRUPT_TIMEOUT_S = 45


def test_the_demo_scales_out_and_in_and_kills_nothing(command: Callable[..., Command]) -> None:
    demo = command("demo")
    assert demo.wait(DEMO_TIMEOUT_S) == 0, demo.said[-4000:]
    assert demo.listened
    assert [host for host, _ in demo.listened if not ip_address(host).is_loopback] == []

    report = json.loads((demo.state / "demo-report.json").read_text())
    assert (report["tasks_total"], report["tasks_succeeded"], report["tasks_killed"]) == (120, 120, 0)
    assert (report["logs_in_bucket"], report["logs_readable"]) == (120, 120)
    assert report["peak_workers"] >= 3
    assert report["final_workers"] == 1
    assert report["seconds_to_first_scale_out"] > 0
    assert report["scale_events"]
    assert all(event["reason"] for event in report["scale_events"])
    assert report["refused"] == []
    assert unlisted(report["actions_used"]) == {}
    # Airflow's own metrics, each request signed with the role of the service airflow.
    assert report["tasks_counted"] >= 120
    page = (demo.state / "demo-metrics.html").read_text()
    said = ("airflow.ti.finish", "airflow.executor.running_tasks", "airflow.dagbag_size", "airflow.triggers.running")
    assert {name for name in said if name not in page} == set()
    assert "One DAG run as a trace" in page
    assert "autoscaler.worker: 1 -&gt; " in page  # why its tasks waited
    assert (demo.state / "demo.png").read_bytes().startswith(b"\x89PNG")
    svg = ElementTree.parse(demo.state / "demo.svg")  # noqa: S314 - made by the demo
    drawn = "".join(svg.getroot().itertext()).replace("\xa0", " ")
    assert {word for word in ("succeeded", "consuming", "desired", "reason") if word not in drawn} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "after_s", "presses"),
    [
        ("building the functions", 1, 1),
        ("deploying the template", 2, 1),
        ("starting the services", 8, 1),
        ("running 120 tasks", 20, 2),
    ],
)
def test_ctrl_c_leaves_nothing_behind(
    command: Callable[..., Command], moment: str, after_s: float, presses: int
) -> None:
    demo = command("demo")
    demo.reaches(moment, timeout_s=DEMO_TIMEOUT_S)
    time.sleep(after_s)
    for _ in range(presses):
        demo.interrupt()
        time.sleep(0.3)
    assert demo.wait(INTERRUPT_TIMEOUT_S) != 0
    assert "interrupted; everything it started has been stopped" in demo.said
