"""Decides by its path whether a request from outside may reach the webserver: an allow list of first segments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from urllib.parse import unquote

# The pages of Airflow's UI: the browser's part of Airflow routes them, so the application has no routes for them.
# tests/integration/agent/test_web.py compares them with the routes in the UI's own files.
UI_PAGES = frozenset(
    (
        *("assets", "configs", "connections", "dag_runs", "dags", "deadlines", "events", "jobs", "plugin", "plugins"),
        *("pools", "providers", "required_actions", "security", "task_instances", "variables", "xcoms"),
    )
)
# No browser encodes a path more than twice. A path that is still encoded after this many rounds is refused.
MAX_ROUNDS = 5


def is_allowed(path: str, *, allowed: Set[str], root: str = "") -> bool:
    """Return whether every reading of `path` begins with an allowed segment, or is the start page.

    `path` is what the request has, undecoded. Servers and applications between here and the route may decode it again,
    merge slashes, resolve dots, drop parameters (`;a=b`) or take a backslash for a slash. Whichever they do, the first
    segment must be allowed.
    Segments are compared as they are: `DAGS` is not `dags`. `root` is the path that Airflow is served below.
    """
    for reading in _readings(path):
        if reading is None:
            return False
        as_sent, without_parameters = _split(reading), _split(re.sub(r";[^/]*", "", reading))
        for segments in (as_sent, _resolve(as_sent), _resolve(without_parameters)):
            rest = _below(root, segments)
            if rest and rest[0] not in allowed:
                return False
    return True


def _readings(path: str) -> Iterator[str | None]:
    """Yield the path, then what each further round of decoding makes of it; at last None if that does not end."""
    for _ in range(MAX_ROUNDS):
        yield path
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded
    yield None


def _split(path: str) -> list[str]:
    return [segment for segment in path.replace("\\", "/").split("/") if segment]


def _resolve(segments: list[str]) -> list[str]:
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    return resolved


def _below(root: str, segments: list[str]) -> list[str]:
    above = _split(root)
    return segments[len(above) :] if above and segments[: len(above)] == above else segments
