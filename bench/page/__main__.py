"""Measures the Fleet page's endpoints at 500 members; exit 1 when one takes longer than its limit.

python -m bench.page [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from bench.page import fleet
from bench.page.webserver import Webserver, running_webserver
from fleet.registry import Registry
from local.servers.ports import free_port
from local.servers.redis import Redis

MEMBERS = 500
ENDPOINTS = ("fleet", "code", "history")
MOST_MEDIAN_MS = 50.0
WARM_UP, ROUNDS = 5, 60
USER = "viewer"


def measure(webserver: Webserver, path: str) -> dict[str, float]:
    """Milliseconds until an answer is read, over one connection as a browser keeps it, and its KiB."""
    headers = {"Authorization": f"Bearer {webserver.token(USER)}"}
    times, size = [], 0
    with httpx.Client(base_url=webserver.url, headers=headers, timeout=30) as client:
        for number in range(WARM_UP + ROUNDS):
            began = time.perf_counter()
            answer = client.get(f"/fleet/api/{path}").raise_for_status()
            if number >= WARM_UP:
                times.append(1000 * (time.perf_counter() - began))
            size = len(answer.content)
    return {
        "median_ms": statistics.median(times),
        "p95_ms": statistics.quantiles(times, n=20)[-1],
        "least_ms": min(times),
        "kib": size / 1024,
    }


def measure_all() -> dict[str, dict[str, float]]:
    """By endpoint, on a webserver and a Redis of its own, with six hours of history in two pools."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Redis(folder, port=free_port()).start()
        home = Path(folder, "airflow")
        home.mkdir()
        try:
            with (
                running_webserver(home=home, broker_url=f"redis://{broker.host}:{broker.port}/0") as webserver,
                broker.client() as client,
            ):
                fleet.a_fleet(client)
                now = Registry(client).now()
                older = [fleet.OLDER if number % 3 == 0 else {} for number in range(MEMBERS)]
                fleet.report(client, (fleet.a_member(n, now=now, **changes) for n, changes in enumerate(older)))
                with fleet.kept_alive(client):
                    return {path: measure(webserver, path) for path in ENDPOINTS}
        finally:
            broker.stop()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    found = measure_all()
    if options.json:
        print(json.dumps(found))
    else:
        print(f"the Fleet page's endpoints at {MEMBERS} members (median, 95 of 100, answer)")
        for path, figures in found.items():
            times = f"{figures['median_ms']:6.1f} ms {figures['p95_ms']:6.1f} ms"
            print(f"  /fleet/api/{path:8} {times} {figures['kib']:6.0f} KiB")
    return int(any(figures["median_ms"] > MOST_MEDIAN_MS for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
