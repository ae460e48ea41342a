"""Databases that RDS restores from a snapshot: each is `creating` until the local stack has made its server.

The stack tells the API the server's address by a tag of the instance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ADDRESS = "airflow-on-ecs:local-address"  # HOST:PORT; empty while there is no server yet
CREATING = "creating"


def restore(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a restore whose instance has no server at first."""

    def restored(self: Any, *arguments: Any, **named: Any) -> Any:
        made = original(self, *arguments, **named)
        made.tags = [{"Key": ADDRESS, "Value": ""}]  # and none of the original's
        made.deletion_protection = False  # AWS takes over neither; moto leaves out what the request denies
        made.publicly_accessible = False
        return made

    return restored


def endpoint(first: dict[str, Any]) -> property:
    """Return the property for an instance's address; `first`: that of the stack's own database."""

    def at(self: Any) -> dict[str, Any]:
        told = _address(self)
        if not told:
            return first if told is None else {"Address": "no-server-yet.invalid", "Port": first["Port"]}
        host, _, port = told.rpartition(":")
        return {"Address": host, "Port": int(port)}

    return property(at)


def status() -> property:
    """Return the property for an instance's status, which is `creating` while it has no server."""

    def read(self: Any) -> str:
        return CREATING if _address(self) == "" else str(self._status)

    def write(self: Any, value: str) -> None:
        self._status = value

    return property(read, write)


def _address(instance: Any) -> str | None:
    """Return what the stack has told of a restored instance's server; None for one that was not restored."""
    return next((tag["Value"] for tag in instance.tags if tag["Key"] == ADDRESS), None)
