"""Shows the running stack until it ends: the whole screen on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import redis
from rich.console import Group, RenderableType
from rich.text import Text

from local.stack.pools import declared_pools
from local.stack.up import Stack
from local.ui.decisions import Decision, are_equal, line
from local.ui.display import Display
from local.ui.screen import RESERVED_LINES, fit, problems, with_local_times
from local.ui.snapshot import Snapshot, read_snapshot

EVERY_S = 1.0
MOST_BROKEN = 5  # lines about DAG files on a terminal


def monitor(stack: Stack, display: Display, *, failures: Callable[[], Sequence[str]] = tuple) -> NoReturn:
    """Show the stack each second until something interrupts it. `failures`: a line for each broken DAG file."""
    pools = declared_pools(stack.clients, stack.outputs)
    changes = ChangeLog(lambda text: display.console.print(text, soft_wrap=True, markup=False))
    shown: RenderableType = Text()
    while True:
        error, broken = "", list(failures())
        try:
            snapshot = read_snapshot(stack.broker, pools)
        except redis.RedisError as raised:
            error = f"Redis does not answer ({type(raised).__name__}); the figures are the last ones read"
        if display.console.is_terminal:
            if not error:
                shown = fit(snapshot, display.console, taken=RESERVED_LINES + 1 + min(len(broken), MOST_BROKEN + 1))
            display.show(Group(draw_broken(broken), shown, Text(error, style="yellow")))
        else:
            if not error:
                changes.print_snapshot(snapshot)
            changes.print_if_new("broker", error)
            changes.print_broken(broken)
        time.sleep(EVERY_S)


def draw_broken(lines: Sequence[str]) -> Text:
    """Draw why DAG files do not import, a line each, the first MOST_BROKEN of them."""
    shown = [f"✗ {line_}" for line_ in lines[:MOST_BROKEN]]
    if len(lines) > MOST_BROKEN:
        shown.append(f"  and {len(lines) - MOST_BROKEN} more: see the UI")
    return Text("\n".join(shown), style="bold red", overflow="ellipsis", no_wrap=True)


class ChangeLog:
    """Prints what has changed, one line each, and remembers what it has printed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._printed: dict[str, str] = {}  # by topic
        self._decisions: dict[str, Decision] = {}  # the last one printed, by pool
        self._broken: set[str] = set()

    def print_snapshot(self, snapshot: Snapshot) -> None:
        """Print what differs from what was printed before."""
        code = snapshot.fleet["code"]
        self.print_if_new("code", f"{code['title']}: {code['text']}")
        for pool in filter(lambda pool: pool["expected"], snapshot.history["pools"]):
            self.print_if_new(f"forecast of {pool['name']}", f"{pool['name']}: {with_local_times(pool['expected'])}")
        for row in snapshot.decisions:
            before = self._decisions.get(row.decision["pool"])
            if before is None or (before["t"] < row.decision["t"] and not are_equal(before, row.decision)):
                self._say(line(replace(row, times=1)))
                self._decisions[row.decision["pool"]] = row.decision
        self.print_if_new("problems", "; ".join([*problems(snapshot), *filter(None, [snapshot.note])]))

    def print_broken(self, lines: Sequence[str]) -> None:
        """Print each line about DAG files that was not there before, and when all is well again."""
        for line_ in lines:
            if line_ not in self._broken:
                self._say(line_)
        if self._broken and not lines:
            self._say("every DAG file imports")
        self._broken = {*lines}

    def print_if_new(self, topic: str, text: str) -> None:
        """Print the text unless it is the topic's last one. An empty text is remembered and not printed."""
        if text and text != self._printed.get(topic):
            self._say(text)
        self._printed[topic] = text
