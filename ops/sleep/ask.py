"""Ask the deployed sleeper until the desired state is reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain, repeat

from ops.deployed import DeployedStack, Record, ask_function, ask_until

OUTPUT = "SleeperFunctionName"
DONE, STAYED, LATE = 0, 1, 2


def ask_sleeper(stack: DeployedStack, want: str | None) -> Record:
    """Return the record of one tick, see sleeper.handler; `want` sets the desired state.

    Raises what `ask_function` raises.
    """
    event = {"ticks": 1} if want is None else {"ticks": 1, "want": want}
    return ask_function(stack, output=OUTPUT, event=event, who="the sleeper")


def wait_until(
    wanted: str,
    *,
    ask: Callable[[str | None], Record],
    seconds: float,
    progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Record:
    """Return the first settled answer, or the last within `seconds`; `progress` gets each new line with its time.

    The desired state is set once: the sleeper continues by itself, also when this command ends.
    """
    wants = chain([wanted], repeat(None))
    said = ""

    def show(record: Record, passed: float) -> None:
        nonlocal said
        if record["says"] != said:
            said = record["says"]
            progress(f"{passed:5.0f} s  {said}")

    return ask_until(
        lambda: ask(next(wants)),
        is_done=lambda record: bool(record["is_settled"]),
        seconds=seconds,
        progress=show,
        clock=clock,
        sleep=sleep,
    )


def exit_code(record: Record, *, wanted: str) -> int:
    """Return 0 when the desired state is reached, 1 when another one is, 2 when none was in time."""
    if not record["is_settled"]:
        return LATE
    return DONE if record["phase"] == wanted else STAYED
