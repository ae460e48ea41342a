"""The faults read the Fleet page: a real Airflow, a real Redis, a headless Chromium."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from bench.micro.page import sample_fleet
from bench.micro.page.sample_fleet import OLDER, a_member, airflow_members
from bench.micro.page.webserver import Webserver
from fleet.registry import Registry
from local.scenarios.faults.page import IN_SYNC, NOT_KNOWN, OUT_OF_SYNC, PageReader, PageReading, problems_of
from local.servers.redis import Redis
from local.ui.chromium import INSTALLS_WITHIN_S, find_chromium
from project.waiting import wait_until

SHOWN_WITHIN_S = 60.0

pytestmark = pytest.mark.timeout(2 * INSTALLS_WITHIN_S + 300)
RIGHT = PageReading(banner=f"{IN_SYNC}\nAll 6 ...", figures={"Active": "3"}, agrees=True)
TURNED = PageReading(banner=f"{OUT_OF_SYNC}\n1 of 6 ...", figures={"Active": "3"}, agrees=False)


@pytest.fixture
def page(webserver: Webserver, store: redis.Redis, broker: Redis) -> Iterator[PageReader]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("NO BROWSER: the reader of the Fleet page is not tested. Install chromium")
    now = Registry(store).now()
    sample_fleet.report(store, [*airflow_members(now=now), a_member(1, now=now, active=3)])
    sample_fleet.queue(store, "default", 2)
    with sample_fleet.kept_alive(store), broker.client() as client:
        reader = PageReader(
            chromium=chromium,
            url=webserver.url,
            token=webserver.token("viewer"),
            broker=client,
            pool="worker",
            queue="default",
        )
        yield reader
        reader.close()


@pytest.mark.slow
def test_the_reader_sees_the_banner_turn_beside_the_figures_of_redis(page: PageReader, store: redis.Redis) -> None:
    def sees(banner: str) -> None:
        wait_until(
            lambda: bool(page.error) or (page.says(banner) and page.agrees()), what=banner, timeout_s=SHOWN_WITHIN_S
        )

    sees(IN_SYNC)
    worker = a_member(1, now=Registry(store).now(), active=4)
    sample_fleet.report(store, [replace(worker, **OLDER)])
    sees(OUT_OF_SYNC)
    assert [page.readings[-1].figures[name] for name in ("Queued", "Active", "Consuming", "Draining")] == list("2410")
    assert page.readings[-1].figures["Desired"] == NOT_KNOWN
    sample_fleet.report(store, [worker])
    sees(IN_SYNC)
    page.close()
    assert problems_of(page.readings, error=page.error) == []


@pytest.mark.parametrize(
    ("readings", "error", "said"),
    [
        ([RIGHT], "", "the page never said: Out of sync"),
        ([TURNED, replace(RIGHT, banner="")], "", "the page never said: In sync"),
        (
            [TURNED, replace(RIGHT, agrees=False)],
            "",
            "the page never showed the figures that Redis held while tasks ran",
        ),
        ([TURNED, replace(RIGHT, figures={"Active": "0"})], "", "the page never showed the figures that Redis held"),
        ([TURNED, RIGHT], "the browser failed: crash", "the browser failed: crash"),
    ],
)
def test_a_reading_that_is_missing_is_a_problem(readings: list[PageReading], error: str, said: str) -> None:
    (found,) = problems_of(readings, error=error)
    assert found.startswith(said)
