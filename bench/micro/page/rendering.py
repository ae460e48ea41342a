"""Measures how long a browser takes to render a fleet."""

from __future__ import annotations

import redis
from playwright.sync_api import CDPSession, expect, sync_playwright

from bench.micro.page import fleet
from bench.micro.page.webserver import Webserver
from fleet.registry import Registry

SHOWN_WITHIN_MS = 60_000  # the machine may be busy
ROWS = "[data-testid=fleet-members] tbody tr"
FIRST_OF_MANY = 10_000  # a number that no member has


def measure_rendering(
    webserver: Webserver, client: redis.Redis, *, chromium: str, user: str, workers: int
) -> dict[str, float]:
    """Seconds for which the page's own thread is busy until it shows so many workers more than before.

    Neither the webserver's answer nor what else this machine does is part of it.
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
        fleet.report(client, (fleet.a_member(FIRST_OF_MANY + n, now=registry.now()) for n in range(workers)))
        expect(page.locator(ROWS)).to_have_count(few + workers, timeout=SHOWN_WITHIN_MS)
        found = {"render_s": _busy_s(devtools) - before}
        browser.close()
    return found


def _busy_s(devtools: CDPSession) -> float:
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])
