"""The tags on cluster and services by which people, and the sleeper, tell the functions what to leave alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# On the cluster: what is wanted of the whole environment. On a service: that it sleeps; that nobody may scale it.
DESIRED_STATE_TAG = "airflow-on-ecs:sleep"
ASLEEP_TAG = "airflow-on-ecs:asleep"
PAUSED_TAG, PAUSED = "airflow-on-ecs:paused", "true"
ASLEEP, AWAKE = "asleep", "awake"
DESIRED_STATES = (ASLEEP, AWAKE)

Tags = Iterable[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """What is wanted, ASLEEP or AWAKE, and since when, in seconds since the epoch."""

    state: str
    since: int

    def to_tag(self) -> dict[str, str]:
        """As ECS takes it; a tag's value may hold no brackets and no quotes."""
        return {"key": DESIRED_STATE_TAG, "value": f"{self.state} {self.since}"}


def desired_state_in(tags: Tags) -> DesiredState | None:
    """None when nothing is wanted, or nothing that can be understood: an environment then stays as it is."""
    state, _, since = _value(tags, DESIRED_STATE_TAG).partition(" ")
    return DesiredState(state=state, since=int(since)) if state in DESIRED_STATES and _is_number(since) else None


def size_asleep(tags: Tags) -> int | None:
    """How many tasks a service that sleeps had before; None for one that does not sleep."""
    value = _value(tags, ASLEEP_TAG)
    return int(value) if _is_number(value) else None


def asleep_tag(size: int) -> dict[str, str]:
    return {"key": ASLEEP_TAG, "value": str(size)}


def is_paused(tags: Tags) -> bool:
    return _value(tags, PAUSED_TAG).strip().lower() == PAUSED


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _value(tags: Tags, key: str) -> str:
    return next((tag.get("value", "") for tag in tags if tag.get("key") == key), "")
