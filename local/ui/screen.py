"""Shows the fleet on a terminal of any size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.page.code import IN_SYNC, OUT_OF_SYNC
from agent.page.words import Parts, count, differing
from local.ui.decisions import Repeated
from local.ui.decisions_view import table
from local.ui.look import Look
from local.ui.trend import trend

COLOURS = {IN_SYNC: "green", OUT_OF_SYNC: "yellow"}
OTHERWISE = "cyan"
FEWEST_DECISIONS = 2  # before the table of who runs what gives way
LINES_ELSEWHERE = 2  # the step that goes on, and the cursor's
WIDE = 110  # columns, from which there is room for more than what matters most
VERY_WIDE = 150  # from which decisions have their figures, too: the reasons name those that mattered
TREND_WIDTH = 30  # samples, each of half a minute
ACTIVE = 2  # where a sample of the timeline holds it
HASH_SHOWN = 8
NOT_KNOWN = "-"


def fitting(look: Look, console: Console, *, taken: int = LINES_ELSEWHERE) -> RenderableType:
    """As much of it as fits beside `taken` lines: fewer decisions first, then no table of who runs what."""

    def lines(part: RenderableType) -> int:
        return len(console.render_lines(part, pad=False))

    def decisions(rows: Sequence[Repeated]) -> RenderableType:
        return table(rows, note=look.note, wide=console.width >= VERY_WIDE)

    parts: list[RenderableType] = [banner(look), Text(), pools(look, wide=console.width >= WIDE), Text()]
    room = console.height - taken - sum(map(lines, parts))
    who, last = Group(code(look.fleet["code"]), Text()), look.decisions
    while len(last) > FEWEST_DECISIONS and lines(decisions(last)) > room - lines(who):
        last = last[1:]
    if lines(decisions(last)) <= room - lines(who):
        parts[2:2] = [who]
    while last and lines(decisions(last)) > room:
        last = last[1:]
    if last or look.note:
        parts.append(decisions(last))
    return Group(*parts)


def banner(look: Look) -> Text:
    """Whether all run the webserver's code, and what cannot be believed or read."""
    said = look.fleet["code"]
    colour = COLOURS.get(said["status"], OTHERWISE)
    text = Text.assemble((f"● {said['title']}  ", f"bold {colour}"), said["text"])
    for trouble in troubles(look):
        text.append(f"\n  {trouble}", style="yellow")
    return text


def troubles(look: Look) -> list[str]:
    """What is wrong with the registry and the pools, in words."""
    fleet, found = look.fleet, []
    if fleet["malformed"]:
        found.append(f"records that cannot be believed: {', '.join(fleet['malformed'])}")
    if fleet["undeclared_pools"]:
        found.append(f"workers of pools that are not declared: {', '.join(fleet['undeclared_pools'])}")
    found += (
        f"{pool['name']}: {trouble}" for pool in (*fleet["pools"], *look.past["pools"]) for trouble in pool["troubles"]
    )
    return found


def code(found: dict[str, Any]) -> Table:
    """Who runs which code: a row for each code that runs."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in ("image", "DAGs", "Airflow"):
        made.add_column(name, no_wrap=True)
    made.add_column("run by", overflow="fold")
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for group in found["groups"]:
        rows.setdefault(tuple(group["code"].values()), []).append(group)
    for (image, dags, airflow), groups in rows.items():
        who = ", ".join(_who(group) for group in groups)
        style = "yellow" if any(group["differs"] for group in groups) else ""
        cells = (image or NOT_KNOWN, dags[:HASH_SHOWN] or NOT_KNOWN, airflow or NOT_KNOWN, who)
        made.add_row(*map(Text, cells), style=style)
    return made


def pools(look: Look, *, wide: bool) -> Group:
    """A row for each pool, and beneath what the forecast expects of it."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    made.add_column("pool", no_wrap=True)
    for name in ("queued", "active", "consuming", "draining", "desired"):
        made.add_column(name, justify="right", no_wrap=True)
    if wide:
        made.add_column("active, the last quarter of an hour", no_wrap=True)
    past = {pool["name"]: pool for pool in look.past["pools"]}
    for pool in look.fleet["pools"]:
        cells: list[Text] = [Text(cell) for cell in _figures(pool)]
        if wide:
            samples: Sequence[list[int | None]] = past[pool["name"]]["samples"]
            cells.append(trend([sample[ACTIVE] for sample in samples], "steel_blue1", width=TREND_WIDTH))
        made.add_row(*cells)
    several = len(past) > 1
    return Group(made, *(_expected(pool, named=several) for pool in past.values() if pool["expected"]))


def by_the_clock(parts: Parts) -> str:
    """A sentence with its times by this machine's clock."""
    return "".join(part if isinstance(part, str) else time.strftime("%H:%M:%S", time.localtime(part)) for part in parts)


def _expected(pool: dict[str, Any], *, named: bool) -> Text:
    name = f"{pool['name']}: " if named else ""
    return Text(f"{name}{by_the_clock(pool['expected'])}", style="" if pool["forecast"] else "dim")


def _who(group: dict[str, Any]) -> str:
    if group["differs"]:
        who = differing(group)
    else:
        who = group["role"] if group["members"] == 1 else count(group["members"], group["role"])
    return f"{who} with {count(group['active'], 'running task')}" if group["active"] else who


def _figures(pool: dict[str, Any]) -> tuple[str, ...]:
    consuming = f"{pool['consuming']} + {pool['starting']} starting" if pool["starting"] else str(pool["consuming"])
    draining = f"{pool['draining']} + {pool['drained']} drained" if pool["drained"] else str(pool["draining"])
    queued, desired = (NOT_KNOWN if pool[name] is None else str(pool[name]) for name in ("queued", "desired"))
    return pool["name"], queued, f"{pool['active']} of {pool['slots']}", consuming, draining, desired
