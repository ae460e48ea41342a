"""A message on its way from a queue through a worker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# kombu's brpop_timeout: Redis answers an empty BRPOP after this, and takes no message for it later.
BRPOP_S = 1.0
# The model lets a message that was read show nowhere for so long: what CONFIRM_IDLE_S is there for.
HIDDEN_S = 1.0


class Stage(Enum):
    """Where a message is on its way through a worker."""

    POPPED = "popped"  # out of the queue, on the wire
    HIDDEN = "hidden"  # read, and in none of the places that the step looks at
    RESERVED = "reserved"
    ACTIVE = "active"
    UNACKED = "unacked"  # the task has ended, the broker does not know


@dataclass
class Message:
    stage: Stage
    taken_at: float
    read_at: float = 0.0


@dataclass
class Poll:
    """A BRPOP under way."""

    sent_at: float
    answered: bool = False
