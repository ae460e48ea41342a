"""Tells what is new about the fleet, a line each, where there is no terminal to draw on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from local.ui.decisions import Decision, says_the_same
from local.ui.decisions_view import line
from local.ui.look import Look
from local.ui.screen import by_the_clock, troubles


class Lines:
    """Remembers what it has told."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: dict[str, str] = {}  # by what it is about
        self._decisions: dict[str, Decision] = {}  # the last one told, by pool

    def tell(self, look: Look) -> None:
        """Say what differs from what was told before."""
        code = look.fleet["code"]
        self.tell_of("code", f"{code['title']}: {code['text']}")
        for pool in filter(lambda pool: pool["expected"], look.past["pools"]):
            self.tell_of(f"forecast of {pool['name']}", f"{pool['name']}: {by_the_clock(pool['expected'])}")
        for row in look.decisions:
            before = self._decisions.get(row.decision["pool"])
            if before is None or (before["t"] < row.decision["t"] and not says_the_same(before, row.decision)):
                self._say(line(replace(row, times=1)))
                self._decisions[row.decision["pool"]] = row.decision
        self.tell_of("troubles", "; ".join([*troubles(look), *filter(None, [look.note])]))

    def tell_of(self, what: str, text: str) -> None:
        """Say it, unless that is what was said of it last; nothing, when all is well again."""
        if text and text != self._told.get(what):
            self._say(text)
        self._told[what] = text
