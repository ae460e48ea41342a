"""Tags on the cluster and its services: the desired state, what sleeps, what must not scale, what AWS retires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DESIRED_STATE_TAG = "airflow-on-ecs:sleep"  # on the cluster: the desired state of the whole environment
ASLEEP_TAG = "airflow-on-ecs:asleep"  # on a service that sleeps: its desired count before
PAUSED_TAG, PAUSED = "airflow-on-ecs:paused", "true"  # on a service: the autoscaler must not scale it
RETIRE_TAG = "airflow-on-ecs:retire-before"  # on a service: a time in seconds since the epoch
ASLEEP, AWAKE = "asleep", "awake"
DESIRED_STATES = (ASLEEP, AWAKE)

Tags = Iterable[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """ASLEEP or AWAKE, and since when, in seconds since the epoch."""

    state: str
    since: int

    def to_tag(self) -> dict[str, str]:
        """Return the tag for ECS; a tag's value may hold no brackets and no quotes."""
        return {"key": DESIRED_STATE_TAG, "value": f"{self.state} {self.since}"}


def desired_state_in(tags: Tags) -> DesiredState | None:
    """Return the desired state; None when the tag is missing or malformed, and the environment stays as it is."""
    state, _, since = _value(tags, DESIRED_STATE_TAG).partition(" ")
    return DesiredState(state=state, since=int(since)) if state in DESIRED_STATES and _is_number(since) else None


def size_asleep(tags: Tags) -> int | None:
    """Return how many tasks a sleeping service had before; None for a service that does not sleep."""
    value = _value(tags, ASLEEP_TAG)
    return int(value) if _is_number(value) else None


def asleep_tag(size: int) -> dict[str, str]:
    return {"key": ASLEEP_TAG, "value": str(size)}


def is_paused(tags: Tags) -> bool:
    return _value(tags, PAUSED_TAG).strip().lower() == PAUSED


def retire_before(tags: Tags) -> float | None:
    """Return the time before which the tasks started that AWS retires; None without a tag, or with a malformed one."""
    value = _value(tags, RETIRE_TAG)
    return float(value) if _is_number(value) else None


def retire_before_tag(at: float) -> dict[str, str]:
    return {"key": RETIRE_TAG, "value": str(int(at))}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _value(tags: Tags, key: str) -> str:
    return next((tag.get("value", "") for tag in tags if tag.get("key") == key), "")
