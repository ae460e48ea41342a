"""Watches a deployment's mixed moments, and holds what the version check says of them against the registry."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from typing import Any

import redis

from fleet.registry import RUNNING, VERSIONS_KEY, WEBSERVER, WORKER, Member
from local.lambdas.function import InvocationFailed
from local.stack.up import Stack
from version_check.verdict import IN_SYNC, OUT_OF_SYNC

EVERY_S = 1.0
CHECK_OUTPUT = "VersionCheckFunctionName"
FIELDS = ("image_version", "dags_hash", "airflow_version")


@dataclass(frozen=True, kw_only=True)
class Look:
    """One moment by Redis's clock: is a worker's code another than the webserver's, and what was said of it last."""

    at: float
    is_mixed: bool
    status: str


class SkewWatch:
    """Looks each second, in a thread of its own, until it is closed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._closing = threading.Event()
        self.looks: list[Look] = []
        self._thread = threading.Thread(target=self._run, name="skew", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def reported_after_s(self) -> float | None:
        """Seconds from the first mixed moment until the check said so; None when either was not seen."""
        mixed_at = next((look.at for look in self.looks if look.is_mixed), None)
        if mixed_at is None:
            return None
        said_at = next((look.at for look in self.looks if look.at >= mixed_at and look.status == OUT_OF_SYNC), None)
        return None if said_at is None else round(said_at - mixed_at, 1)

    def is_mixed(self) -> bool:
        """Whether the last look saw different code."""
        return bool(self.looks) and self.looks[-1].is_mixed

    def is_in_sync(self) -> bool:
        """Whether the check has said last that all run the same."""
        return bool(self.looks) and self.looks[-1].status == IN_SYNC

    def _run(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(redis.RedisError):  # a gap is no look
                self.looks.append(self._look())
            self._closing.wait(EVERY_S)

    def _look(self) -> Look:
        roster = self._stack.registry.members()
        served = {m.code for m in roster.members if m.role == WEBSERVER and m.state == RUNNING}
        worked = {m.code for m in roster.members if m.role == WORKER}
        raw: Any = self._stack.broker.get(VERSIONS_KEY)
        status = json.loads(raw).get("status", "") if raw else ""
        return Look(at=roster.read_at, is_mixed=len(served | worked) > 1, status=status)


def wrongly_reported(stack: Stack) -> list[str]:
    """Ask the check now; return, in words, each difference that it names and the registry does not have.

    Empty as well when the check was not to be had: that it reports at all is seen elsewhere.
    """
    twin = stack.rules.function(stack.outputs[CHECK_OUTPUT]).twin()
    try:
        record = twin.invoke({"looks": 1})
    except InvocationFailed:
        return []
    finally:
        twin.close()
    members = {member.id: member for member in stack.registry.members().members}
    return [
        f"{entry['member']}: {entry['field']} {entry['value']}, webserver {entry['expected']}"
        for entry in record["out_of_sync"]
        if entry["field"] in FIELDS and not _is_right(entry, members.get(entry["member"]))
    ]


def _is_right(entry: dict[str, Any], member: Member | None) -> bool:
    """One that has gone since is believed."""
    return member is None or (getattr(member, entry["field"]) == entry["value"] != entry["expected"])
