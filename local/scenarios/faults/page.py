"""Looks at the Fleet page in a real browser again and again, beside what the registry holds."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, sync_playwright

from fleet.queues import lists_of
from fleet.registry import (
    CONSUMING,
    DRAINING,
    MEMBER_TTL_S,
    MEMBERS_KEY,
    STOPPED,
    WORKER,
    decisions_key,
    member_key,
)

EVERY_MS = 500.0
OPENS_WITHIN_MS = 60_000.0
PATH = "/plugin/fleet"
COOKIE = "_token"
IN_SYNC, OUT_OF_SYNC = "In sync", "Out of sync"
NOT_KNOWN = "\N{EN DASH}"
# The banner's words and a pool's figures by their names, all of one moment.
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


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a person saw at one moment; `agrees` when Redis held the very same just before and just after."""

    banner: str
    figures: Figures
    agrees: bool

    @property
    def is_busy(self) -> bool:
        """Whether tasks were shown to run."""
        return self.figures.get("Active", "0") != "0"


class PageWatch:
    """Keeps the page open in a thread of its own until it is closed."""

    def __init__(self, *, chromium: str, url: str, token: str, broker: redis.Redis, pool: str, queue: str) -> None:
        self._chromium, self._url, self._token = chromium, url, token
        self._broker, self._pool, self._queue = broker, pool, queue
        self._closing = threading.Event()
        self.looks: list[Look] = []
        self.trouble = ""  # why the browser had to give up
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def says(self, banner: str) -> bool:
        """Whether the banner said so at the last look."""
        return bool(self.looks) and self.looks[-1].banner.startswith(banner)

    def agrees(self) -> bool:
        """Whether the last look saw what Redis held."""
        return bool(self.looks) and self.looks[-1].agrees

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright, self._opened(playwright.chromium) as page:
                while not self._closing.is_set():
                    with contextlib.suppress(redis.RedisError):  # a gap is no look
                        self.looks.append(self._look(page))
                    page.wait_for_timeout(EVERY_MS)
        except BrowserError as error:
            self.trouble = f"the browser gave up: {error.message.splitlines()[0]}"

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

    def _look(self, page: Page) -> Look:
        before = figures_in_redis(self._broker, pool=self._pool, queue=self._queue)
        shown = page.evaluate(READ, self._pool)
        after = figures_in_redis(self._broker, pool=self._pool, queue=self._queue)
        return Look(**shown, agrees=before == shown["figures"] == after)


def figures_in_redis(broker: redis.Redis, *, pool: str, queue: str) -> Figures:
    """A pool's figures as the page names them, read from the bare keys; the page has its own way to them."""
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
