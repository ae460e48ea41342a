"""Measures how long the Fleet page's endpoints take to answer, and a browser to render the fleet."""

from __future__ import annotations

import statistics
import time

import httpx
import psutil
import redis
from playwright.sync_api import CDPSession, expect, sync_playwright

from bench.micro.page import sample_fleet
from bench.micro.page.webserver import ANEW, Webserver
from fleet.registry import Registry

ENDPOINTS = ("fleet", "code", "history")
WARM_UP, BLOCKS, ROUNDS = 5, 5, 20
ANSWERS_WITHIN_S = 30.0
SHOWN_WITHIN_MS = 60_000  # the machine may be busy
ROWS = "[data-testid=fleet-members] tbody tr"
FIRST_OF_MANY = 10_000  # above the numbers of the sample fleet's members


def measure_endpoint(webserver: Webserver, path: str, *, user: str, anew: bool = True) -> dict[str, float]:
    """Return the time until an answer is read, the webserver's processor time, both in ms, and the size in KiB.

    One connection is used, as by a browser. With `anew`, each answer is read from the broker; without it, most answers
    are shared between requests. The figures are of the fastest of several blocks, because the machine may be busy.
    """
    headers = {"Authorization": f"Bearer {webserver.token(user)}"} | (ANEW if anew else {})
    with httpx.Client(base_url=webserver.url, headers=headers, timeout=ANSWERS_WITHIN_S) as client:

        def ask() -> tuple[float, int]:
            began = time.perf_counter()
            answer = client.get(f"/fleet/api/{path}").raise_for_status()
            return 1000 * (time.perf_counter() - began), len(answer.content)

        for _ in range(WARM_UP):
            ask()
        process = psutil.Process(webserver.pid)
        before = sum(process.cpu_times()[:2])
        blocks = [[ask() for _ in range(ROUNDS)] for _ in range(BLOCKS)]
        spent_s = sum(process.cpu_times()[:2]) - before
    fastest = min(([ms for ms, _ in block] for block in blocks), key=statistics.median)
    return {
        "median_ms": statistics.median(fastest),
        "p95_ms": statistics.quantiles(fastest, n=20)[-1],
        "processor_ms": 1000 * spent_s / (BLOCKS * ROUNDS),
        "kib": blocks[-1][-1][1] / 1024,
    }


def measure_rendering(
    webserver: Webserver, client: redis.Redis, *, chromium: str, user: str, workers: int
) -> dict[str, float]:
    """Return the seconds for which the page's own thread is busy until it shows `workers` additional workers.

    They include neither the webserver's answer nor other work of this machine.
    """
    registry = Registry(client)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page()
        page.set_default_timeout(SHOWN_WITHIN_MS)
        page.context.add_cookies([{"name": "_token", "value": webserver.token(user), "url": webserver.url}])
        page.goto(f"{webserver.url}/plugin/fleet")
        few = len(registry.members().members)
        expect(page.locator(ROWS)).to_have_count(few, timeout=SHOWN_WITHIN_MS)
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _busy_s(devtools)
        sample_fleet.report(
            client, (sample_fleet.a_member(FIRST_OF_MANY + n, now=registry.now()) for n in range(workers))
        )
        expect(page.locator(ROWS)).to_have_count(few + workers, timeout=SHOWN_WITHIN_MS)
        found = {"render_s": _busy_s(devtools) - before}
        browser.close()
    return found


def _busy_s(devtools: CDPSession) -> float:
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])
