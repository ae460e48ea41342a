"""What the webserver logs about the time that workers wait for the Execution API."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.web.latency import FIELD, Latency, quantile

SLOW_S = 0.2


async def slow(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.sleep(SLOW_S)


async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.sleep(SLOW_S)
    raise LookupError


def reported(application: Any, during: Callable[[Latency], Awaitable[None]]) -> list[dict[str, Any]]:
    """Return the lines that are written while `during` goes on."""
    lines: list[str] = []

    async def run() -> None:
        latency = Latency(application, write=lines.append, every_s=1.0)
        async with latency.reporting():
            await during(latency)

    asyncio.run(run())
    return [json.loads(line) for line in lines]


async def ask(latency: Latency) -> None:
    await latency({}, None, None)  # type: ignore[arg-type]


def test_a_line_tells_how_long_the_requests_took() -> None:
    async def during(latency: Latency) -> None:
        await asyncio.gather(*(ask(latency) for _ in range(5)))
        await asyncio.sleep(1.5)

    line = reported(slow, during)[0]
    assert line["requests"] == 5
    assert line[FIELD] == pytest.approx(1000 * SLOW_S, abs=150)


def test_a_request_that_fails_counts() -> None:
    async def during(latency: Latency) -> None:
        with pytest.raises(LookupError):
            await ask(latency)
        await asyncio.sleep(1.5)

    assert reported(broken, during)[0]["requests"] == 1


def test_the_wait_for_a_busy_event_loop_counts() -> None:
    async def during(_latency: Latency) -> None:
        for _ in range(4):
            time.sleep(0.6)  # blocks the loop, as a page that takes long does
            await asyncio.sleep(0.05)

    line = reported(slow, during)[0]
    assert line["requests"] == 0
    assert line[FIELD] > 50


def test_forgotten_requests_are_not_told() -> None:
    async def during(latency: Latency) -> None:
        await ask(latency)
        latency.forget()
        await asyncio.sleep(1.5)

    line = reported(slow, during)[0]
    assert line["requests"] == 0
    assert line[FIELD] < 1000 * SLOW_S


@pytest.mark.parametrize(("values", "expected"), [([], 0.0), ([3.0], 3.0), ([float(n) for n in range(11)], 9.0)])
def test_the_slowest_tenth_is_left_out(values: list[float], expected: float) -> None:
    assert quantile(values) == expected
