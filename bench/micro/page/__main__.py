"""Measures the Fleet page with 500 members, on a real Airflow and in a real browser; exits with 1 above a limit.

python -m bench.micro.page [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from bench.micro.page import sample_fleet
from bench.micro.page.measure import ENDPOINTS, measure_endpoint, measure_rendering
from bench.micro.page.webserver import Webserver, running_webserver
from fleet.registry import Registry
from local.servers.redis import Redis
from local.ui.chromium import find_chromium

MEMBERS = 500
MOST_MEDIAN_MS = 50.0
MOST_RENDER_S = 1.0
USER = "viewer"
FIGURES = ("median_ms", "p95_ms", "processor_ms", "shared_ms")
FIRST_MORE = 10_000  # above the numbers of the sample fleet's members

Found = dict[str, dict[str, float]]


def measure() -> Found:
    """Return the figures of each endpoint, and under "page" those of the rendering if there is a browser."""
    chromium = find_chromium()
    found: Found = {}
    with _a_page_and_its_broker() as (webserver, client):
        sample_fleet.a_fleet(client)  # six hours of history in two pools
        with sample_fleet.kept_alive(client):
            if chromium:
                found["page"] = measure_rendering(webserver, client, chromium=chromium, user=USER, workers=MEMBERS)
        client.flushdb()
        sample_fleet.a_fleet(client)
        _fill_up(client)
        with sample_fleet.kept_alive(client):
            for path in ENDPOINTS:
                found[path] = measure_endpoint(webserver, path, user=USER)
                found[path]["shared_ms"] = measure_endpoint(webserver, path, user=USER, anew=False)["median_ms"]
    return found


def _fill_up(client: redis.Redis) -> None:
    """Add workers up to MEMBERS members, some of them with an older release."""
    registry = Registry(client)
    missing = MEMBERS - len(registry.members().members)
    older = (sample_fleet.OLDER if number % 3 == 0 else {} for number in range(missing))
    now = registry.now()
    sample_fleet.report(
        client, (sample_fleet.a_member(FIRST_MORE + n, now=now, **changes) for n, changes in enumerate(older))
    )


@contextlib.contextmanager
def _a_page_and_its_broker() -> Iterator[tuple[Webserver, redis.Redis]]:
    with tempfile.TemporaryDirectory() as folder:
        broker = Redis(folder).start()
        home = Path(folder, "airflow")
        home.mkdir()
        url = f"redis://{broker.host}:{broker.port}/0"
        try:
            with running_webserver(home=home, broker_url=url) as webserver, broker.client() as client:
                yield webserver, client
        finally:
            broker.stop()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.micro.page", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    found = measure()
    if options.json:
        print(json.dumps(found))
    else:
        _show(found)
    slow = any(found[path]["median_ms"] > MOST_MEDIAN_MS for path in ENDPOINTS)
    return int(slow or ("page" in found and found["page"]["render_s"] > MOST_RENDER_S))


def _show(found: Found) -> None:
    print(f"Fleet page with {MEMBERS} members: median, 95th percentile, processor time, median of shared answers, size")
    for path in ENDPOINTS:
        times = (f"{found[path][figure]:6.1f} ms" for figure in FIGURES)
        print(f"  /fleet/api/{path:8} {' '.join(times)} {found[path]['kib']:6.0f} KiB")
    if "page" in found:
        print(f"  rendering {MEMBERS} more workers: {found['page']['render_s']:.2f} s of the page's thread")
    else:
        print("  rendering: not measured, Chromium is not installed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
