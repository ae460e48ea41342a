"""Pages that are not Airflow's, in a headless Chromium: axe finds nothing, light and dark, on a desk and on a phone."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from local.aws.otlp.messages import EXPONENTIAL_HISTOGRAM, GAUGE, SUM
from local.scenarios.demo.metrics_page import render
from local.stack.telemetry import Telemetry
from local.ui.chromium import INSTALLS_WITHIN_S
from tests.support.accessibility import serious_faults
from tests.support.airflows_python import asked, needs_airflow
from tests.support.headless_chromium import headless_chromium
from tests.unit.local.test_metrics_page import series, span

ROOT = Path(__file__).parents[3]
MKDOCS = ROOT / ".venv-docs" / "bin" / "mkdocs"
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SIGN_IN = """
from flask import Flask
from sign_in.page import page
with Flask("test").app_context():
    response = page("You are signed out", "See you.", links=[("Sign in", "/auth/login"), ("Help", "/help")])
    answer(response.get_data(as_text=True))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * INSTALLS_WITHIN_S + 300)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with headless_chromium(
        shown_within_ms=60_000, untested="sign-in, the demo's metrics, the documentation"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that makes a page and returns its file."""
    folder = tmp_path_factory.mktemp("pages")

    def made(name: str) -> Path:
        path = folder / f"{name}.html"
        if name == "metrics":
            path.write_text(metrics())
        elif name == "sign-in":
            path.write_text(asked(SIGN_IN, home=folder))
        else:
            path = folder / "site" / f"{name}.html"
            if not path.exists():
                subprocess.run(
                    [MKDOCS, "build", "--quiet", "--site-dir", path.parent], cwd=ROOT, check=True, capture_output=True
                )
        return path

    return made


def metrics() -> str:
    telemetry = Telemetry(
        series=[
            series("airflow.ti.finish", SUM, (1, 3, None), (2, 1200, None), state="success"),
            series("airflow.task.duration", EXPONENTIAL_HISTOGRAM, (1, 60.0, 3)),
            series("airflow.scheduler_heartbeat", GAUGE, (1, 2.5, None), (2, 3.5, None)),
        ],
        spans=[
            span("dag_run.d", start=0.0, end=4.0, parent="", attributes={}),
            span("task_run.a", start=0.0, end=3.0, attributes={}),
            span("autoscaler.worker: 0 -> 1 workers", start=0.5, end=0.5, attributes={}),
        ],
        requests={"/v1/metrics": 4},
    )
    return render(telemetry, title="The demo of 2026-12-01")


@needs_airflow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["sign-in", "metrics", "index", "reference", "troubleshooting"])
def test_a_page_is_accessible(
    name: str, size: str, scheme: str, browser: Browser, pages: Callable[[str], Path]
) -> None:
    if name not in ("sign-in", "metrics") and not MKDOCS.exists():
        pytest.skip("the documentation's environment is not there: make site")
    page = browser.new_page(viewport=SIZES[size], color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(pages(name).as_uri())
    page.wait_for_timeout(1000)  # the theme's script lets wide blocks of code take the focus
    faults = serious_faults(page)
    fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
    assert faults == []
    assert fits
