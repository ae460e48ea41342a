"""Lets somebody look at the Fleet page while a deployment goes on, and judges what they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from local.scenarios.demo.samples import DEFAULT_QUEUE
from local.scenarios.faults.ground import Ground, Trial
from local.scenarios.faults.page import IN_SYNC, OUT_OF_SYNC, Look, PageWatch
from local.stack.up import DEFAULT_POOL
from local.ui.chromium import find_chromium
from project.waiting import wait_until

SHOWN_WITHIN_S = 120.0
NO_BROWSER = "NO BROWSER: nobody looks at the Fleet page. Install chromium, or run as root where apt-get can"

Harm = Callable[[Ground, Trial], None]


def with_the_page_open(harm: Harm) -> Harm:
    """The same, during which the page's banner has to turn and to turn back, with figures that are Redis's."""

    def watched(ground: Ground, trial: Trial) -> None:
        chromium = find_chromium()
        if chromium is None:
            print(NO_BROWSER)
            harm(ground, trial)
            return
        page = PageWatch(
            chromium=chromium,
            url=ground.stack.webserver_url,
            token=ground.airflow.token,
            broker=ground.stack.broker,
            pool=DEFAULT_POOL,
            queue=DEFAULT_QUEUE,
        )
        try:
            _wait_until_settled(page, "the Fleet page in sync and right before the deployment")
            harm(ground, trial)
            _wait_until_settled(page, "the Fleet page in sync and right after the deployment")
        finally:
            page.close()
            trial.unmet += problems_of(page.looks, trouble=page.trouble)
        trial.figures |= {
            "page_looks": len(page.looks),
            "page_out_of_sync": sum(look.banner.startswith(OUT_OF_SYNC) for look in page.looks),
            "page_right_while_busy": sum(look.agrees and look.is_busy for look in page.looks),
        }

    return watched


def problems_of(looks: Sequence[Look], *, trouble: str = "") -> list[str]:
    """In words, what was not seen on the page; `trouble` is why the browser had to give up."""
    said = {banner: any(look.banner.startswith(banner) for look in looks) for banner in (IN_SYNC, OUT_OF_SYNC)}
    found = [f"the page never said: {banner}" for banner, was_said in said.items() if not was_said]
    if not any(look.agrees and look.is_busy for look in looks):
        found.append("the page never showed the figures that Redis held while tasks ran")
    return [*found, *filter(None, [trouble])]


def _wait_until_settled(page: PageWatch, what: str) -> None:
    def is_settled() -> bool:
        return bool(page.trouble) or (page.says(IN_SYNC) and page.agrees())

    wait_until(is_settled, what=what, timeout_s=SHOWN_WITHIN_S)
