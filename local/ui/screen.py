"""Draws the fleet for a terminal of any size, or as a picture."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.page.code import IN_SYNC, OUT_OF_SYNC
from agent.page.words import Parts, count, differing
from local.ui.decisions import NOT_KNOWN, Row, table
from local.ui.snapshot import Snapshot

COLOURS = {IN_SYNC: "green", OUT_OF_SYNC: "yellow"}
OTHER_COLOUR = "cyan"
FEWEST_ROWS = 2  # of decisions, before the table of versions is left out
RESERVED_LINES = 2  # for the current step and the cursor
WIDE = 110  # columns from which a pool's activity is drawn
VERY_WIDE = 150  # columns from which decisions show their figures; their reasons name those that mattered
SPARKLINE_WIDTH = 30  # samples, one each half a minute
ACTIVE = 2  # the position of a sample's active tasks
HASH_LENGTH = 8
BLOCKS = " ▁▂▃▄▅▆▇█"
NO_SAMPLE = "·"
PICTURE_WIDTH, PICTURE_HEIGHT = 120, 100  # columns, lines
# Rich's picture loads its font from another host; a viewer's own monospaced font is enough.
FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def fit(snapshot: Snapshot, console: Console, *, taken: int = RESERVED_LINES) -> RenderableType:
    """Draw what fits beside `taken` lines: drop old decisions first, then the table of versions."""

    def lines(part: RenderableType) -> int:
        return len(console.render_lines(part, pad=False))

    def decisions(rows: Sequence[Row]) -> RenderableType:
        return table(rows, note=snapshot.note, wide=console.width >= VERY_WIDE)

    parts: list[RenderableType] = [_banner(snapshot), Text(), _pools(snapshot, wide=console.width >= WIDE), Text()]
    room = console.height - taken - sum(map(lines, parts))
    versions, last = Group(_versions(snapshot.fleet["code"]), Text()), snapshot.decisions
    while len(last) > FEWEST_ROWS and lines(decisions(last)) > room - lines(versions):
        last = last[1:]
    if lines(decisions(last)) <= room - lines(versions):
        parts[2:2] = [versions]
    while last and lines(decisions(last)) > room:
        last = last[1:]
    if last or snapshot.note:
        parts.append(decisions(last))
    return Group(*parts)


def problems(snapshot: Snapshot) -> list[str]:
    """Return the problems of the registry and of the pools, one line each."""
    fleet, found = snapshot.fleet, []
    if fleet["malformed"]:
        found.append(f"malformed records: {', '.join(fleet['malformed'])}")
    if fleet["undeclared_pools"]:
        found.append(f"workers of undeclared pools: {', '.join(fleet['undeclared_pools'])}")
    pools = (*fleet["pools"], *snapshot.history["pools"])
    return [*found, *(f"{pool['name']}: {trouble}" for pool in pools for trouble in pool["troubles"])]


def with_local_times(parts: Parts) -> str:
    """Return the sentence with its times by this machine's clock."""
    return "".join(part if isinstance(part, str) else time.strftime("%H:%M:%S", time.localtime(part)) for part in parts)


def sparkline(values: Sequence[int | None], style: str, *, width: int, top: int | None = None) -> Text:
    """Draw the last `width` values, scaled to the highest of them or to `top`; an unknown value is a dot."""
    shown = values[-width:]
    highest = max([*(value for value in shown if value is not None), top or 1, 1])
    return Text("".join(_block(value, highest) for value in shown), style=style)


def picture_console() -> Console:
    """Return a terminal that is high enough for everything, and records."""
    return Console(
        file=io.StringIO(),
        record=True,
        width=PICTURE_WIDTH,
        height=PICTURE_HEIGHT,
        force_terminal=True,
        highlight=False,
    )


def picture(draw: Callable[[Console], RenderableType], *, title: str, name: str = "terminal") -> str:
    """Return what `draw` makes of a terminal as SVG. `name`: of its styles, where several pictures are in one file."""
    console = picture_console()
    console.print(draw(console))
    return FONT_FACE.sub("", console.export_svg(title=title, unique_id=name))


def _banner(snapshot: Snapshot) -> Text:
    """Draw whether all members run the webserver's code, and the problems."""
    code = snapshot.fleet["code"]
    colour = COLOURS.get(code["status"], OTHER_COLOUR)
    text = Text.assemble((f"● {code['title']}  ", f"bold {colour}"), code["text"])
    for problem in problems(snapshot):
        text.append(f"\n  {problem}", style="yellow")
    return text


def _versions(code: dict[str, Any]) -> Table:
    """Draw a row for each version of the code, with the members that run it."""
    made = _table()
    for name in ("image", "DAGs", "Airflow"):
        made.add_column(name, no_wrap=True)
    made.add_column("run by", overflow="fold")
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for group in code["groups"]:
        rows.setdefault(tuple(group["code"].values()), []).append(group)
    for (image, dags, airflow), groups in rows.items():
        members = ", ".join(_members(group) for group in groups)
        style = "yellow" if any(group["differs"] for group in groups) else ""
        cells = (image or NOT_KNOWN, dags[:HASH_LENGTH] or NOT_KNOWN, airflow or NOT_KNOWN, members)
        made.add_row(*map(Text, cells), style=style)
    return made


def _pools(snapshot: Snapshot, *, wide: bool) -> Group:
    """Draw a row for each pool, and below it what its forecast expects."""
    made = _table()
    made.add_column("pool", no_wrap=True)
    for name in ("queued", "active", "consuming", "draining", "desired"):
        made.add_column(name, justify="right", no_wrap=True)
    if wide:
        made.add_column("active in the last 15 minutes", no_wrap=True)
    history = {pool["name"]: pool for pool in snapshot.history["pools"]}
    pools = snapshot.fleet["pools"]
    for pool in pools:
        cells: list[Text] = [Text(cell) for cell in _figures(pool)]
        if wide:
            samples: Sequence[list[int | None]] = history[pool["name"]]["samples"]
            cells.append(sparkline([sample[ACTIVE] for sample in samples], "steel_blue1", width=SPARKLINE_WIDTH))
        made.add_row(*cells)
    is_named = len(history) > 1
    coming = (
        f"{pool['name']}: {pool['coming']}." if is_named else f"{pool['coming']}." for pool in pools if pool["coming"]
    )
    return Group(
        made, *map(Text, coming), *(_expected(pool, is_named=is_named) for pool in history.values() if pool["expected"])
    )


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)


def _expected(pool: dict[str, Any], *, is_named: bool) -> Text:
    name = f"{pool['name']}: " if is_named else ""
    return Text(f"{name}{with_local_times(pool['expected'])}", style="" if pool["forecast"] else "dim")


def _members(group: dict[str, Any]) -> str:
    if group["differs"]:
        text = differing(group)
    else:
        text = group["role"] if group["members"] == 1 else count(group["members"], group["role"])
    return f"{text} with {count(group['active'], 'running task')}" if group["active"] else text


def _figures(pool: dict[str, Any]) -> tuple[str, ...]:
    draining = f"{pool['draining']} + {pool['drained']} drained" if pool["drained"] else str(pool["draining"])
    queued, desired = (NOT_KNOWN if pool[name] is None else str(pool[name]) for name in ("queued", "desired"))
    return pool["name"], queued, f"{pool['active']} of {pool['slots']}", str(pool["consuming"]), draining, desired


def _block(value: int | None, highest: int) -> str:
    # Rounded up: one task must differ from none, however high the highest value is.
    return NO_SAMPLE if value is None else BLOCKS[-(-value * (len(BLOCKS) - 1) // highest)]
