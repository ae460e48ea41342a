"""Measures how long the Fleet page's endpoints take to answer."""

from __future__ import annotations

import statistics
import time

import httpx
import psutil

from bench.micro.page.webserver import ANEW, Webserver

ENDPOINTS = ("fleet", "code", "history")
WARM_UP, BLOCKS, ROUNDS = 5, 5, 20
ANSWERS_WITHIN_S = 30.0


def measure_endpoint(webserver: Webserver, path: str, *, user: str, anew: bool = True) -> dict[str, float]:
    """Milliseconds until an answer is read, over one connection as a browser keeps it; the webserver's; KiB.

    Each answer is read `anew` from the broker, or is mostly one that others share. Of several blocks the calmest: the
    machine may be busy with other things.
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
    calmest = min(([ms for ms, _ in block] for block in blocks), key=statistics.median)
    return {
        "median_ms": statistics.median(calmest),
        "p95_ms": statistics.quantiles(calmest, n=20)[-1],
        "processor_ms": 1000 * spent_s / (BLOCKS * ROUNDS),
        "kib": blocks[-1][-1][1] / 1024,
    }
