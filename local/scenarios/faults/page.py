"""Reads the Fleet page in a real browser during a deployment, and compares it with what the registry holds."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, sync_playwright

from fleet.member import CONSUMING, DRAINING, STOPPED, WORKER
from fleet.pools import lists_of
from fleet.registry import MEMBER_TTL_S, MEMBERS_KEY, decisions_key, member_key
from local.scenarios.faults.trial import Trial
from local.scenarios.sampling import DEFAULT_QUEUE
from local.stack.up import DEFAULT_POOL
from local.ui.chromium import find_chromium
from project.waiting import wait_until

EVERY_MS = 500.0
OPENS_WITHIN_MS = 60_000.0
SHOWN_WITHIN_S = 120.0
PATH = "/plugin/fleet"
COOKIE = "_token"
IN_SYNC, OUT_OF_SYNC = "In sync", "Out of sync"
NOT_KNOWN = "\N{EN DASH}"
NO_BROWSER = "NO BROWSER: the Fleet page is not checked. Install chromium, or run as root where apt-get can install it"
# The banner's text and a pool's figures by their names, all read at once.
READ = """
pool => {
  const part = (id) => document.querySelector(`[data-testid="${id}"]`);
  const names = part(`fleet-pool-${pool}`)?.querySelectorAll("dt") ?? [];
  return {
    banner: part("fleet-verdict")?.innerText ?? "",
    figures: Object.fromEntries(
      [...names].map((name) => [name.innerText, name.nextElementSibling.firstChild.innerText]),
    ),
  };
}
"""

Figures = dict[str, str]
Harm = Callable[[Trial], None]


@dataclass(frozen=True, kw_only=True)
class PageReading:
    """What the page showed; `agrees` if Redis held the same figures just before and just after."""

    banner: str
    figures: Figures
    agrees: bool

    @property
    def is_busy(self) -> bool:
        """Whether the page showed running tasks."""
        return self.figures.get("Active", "0") != "0"


class PageReader:
    """Keeps the page open and reads it twice a second, in a thread of its own, until it is closed."""

    def __init__(self, *, chromium: str, url: str, token: str, broker: redis.Redis, pool: str, queue: str) -> None:
        self._chromium, self._url, self._token = chromium, url, token
        self._broker, self._pool, self._queue = broker, pool, queue
        self._closing = threading.Event()
        self.readings: list[PageReading] = []
        self.error = ""  # why the browser ended
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading and close the browser."""
        self._closing.set()
        self._thread.join()

    def says(self, banner: str) -> bool:
        """Whether the last reading's banner begins with `banner`."""
        return bool(self.readings) and self.readings[-1].banner.startswith(banner)

    def agrees(self) -> bool:
        """Whether the last reading showed what Redis held."""
        return bool(self.readings) and self.readings[-1].agrees

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright, self._opened(playwright.chromium) as page:
                while not self._closing.is_set():
                    with contextlib.suppress(redis.RedisError):  # there is nothing to compare the page with
                        self.readings.append(self._read(page))
                    page.wait_for_timeout(EVERY_MS)
        except BrowserError as error:
            self.error = f"the browser failed: {error.message.splitlines()[0]}"

    @contextlib.contextmanager
    def _opened(self, chromium: Any) -> Iterator[Page]:
        browser = chromium.launch(executable_path=self._chromium)
        try:
            page: Page = browser.new_page()
            page.context.add_cookies([{"name": COOKIE, "value": self._token, "url": self._url}])
            page.goto(self._url + PATH, timeout=OPENS_WITHIN_MS)
            yield page
        finally:
            browser.close()

    def _read(self, page: Page) -> PageReading:
        before = figures_in_redis(self._broker, pool=self._pool, queue=self._queue)
        shown = page.evaluate(READ, self._pool)
        after = figures_in_redis(self._broker, pool=self._pool, queue=self._queue)
        return PageReading(**shown, agrees=before == shown["figures"] == after)


def figures_in_redis(broker: redis.Redis, *, pool: str, queue: str) -> Figures:
    """Return a pool's figures as the page names them, read from the bare keys: the page must not check itself."""
    client: Any = broker  # the stubs say that answers may be awaitable
    now, _ = client.time()
    ids = client.zrangebyscore(MEMBERS_KEY, now - MEMBER_TTL_S, "+inf")
    records = [json.loads(raw) for raw in client.mget([member_key(each.decode()) for each in ids] or ["none"]) if raw]
    workers = [each for each in records if (each["role"], each["pool"]) == (WORKER, pool) and each["state"] != STOPPED]
    decision = client.lindex(decisions_key(pool), 0)
    figures = {
        "Queued": sum(client.llen(name) for name in lists_of(queue)),
        "Active": sum(each["active"] for each in workers),
        "Consuming": sum(each["state"] == CONSUMING for each in workers),
        "Draining": sum(each["state"] == DRAINING for each in workers),
        "Desired": json.loads(decision)["desired"] if decision else NOT_KNOWN,
    }
    return {name: str(figure) for name, figure in figures.items()}


def with_open_page(harm: Harm) -> Harm:
    """Return `harm` with the Fleet page open: its banner must turn and turn back, with the figures that Redis holds."""

    def harm_with_open_page(trial: Trial) -> None:
        chromium = find_chromium()
        if chromium is None:
            print(NO_BROWSER)
            harm(trial)
            return
        page = PageReader(
            chromium=chromium,
            url=trial.stack.webserver_url,
            token=trial.observed.airflow.token,
            broker=trial.stack.broker,
            pool=DEFAULT_POOL,
            queue=DEFAULT_QUEUE,
        )
        try:
            _wait_until_settled(page, "agreement of the Fleet page with Redis before the deployment")
            harm(trial)
            _wait_until_settled(page, "agreement of the Fleet page with Redis after the deployment")
        finally:
            page.close()
            trial.unmet += problems_of(page.readings, error=page.error)
        trial.figures |= {
            "page_readings": len(page.readings),
            "page_out_of_sync": sum(reading.banner.startswith(OUT_OF_SYNC) for reading in page.readings),
            "page_right_while_busy": sum(reading.agrees and reading.is_busy for reading in page.readings),
        }

    return harm_with_open_page


def problems_of(readings: Sequence[PageReading], *, error: str = "") -> list[str]:
    """Return what the page did not show, one line each; `error` is why the browser ended."""
    shown = {banner: any(each.banner.startswith(banner) for each in readings) for banner in (IN_SYNC, OUT_OF_SYNC)}
    found = [f"the page never said: {banner}" for banner, was_shown in shown.items() if not was_shown]
    if not any(reading.agrees and reading.is_busy for reading in readings):
        found.append("the page never showed the figures that Redis held while tasks ran")
    return [*found, *filter(None, [error])]


def _wait_until_settled(page: PageReader, what: str) -> None:
    def is_settled() -> bool:
        return bool(page.error) or (page.says(IN_SYNC) and page.agrees())

    wait_until(is_settled, what=what, timeout_s=SHOWN_WITHIN_S)
