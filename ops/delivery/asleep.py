"""Refuses a deployment to an environment that sleeps."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from ops.ask import FunctionFailed, Record
from ops.delivery.errors import Refused
from ops.versions.ask import ASLEEP


def refuse_asleep(environment: str, *, look: Callable[[], Record], say: Callable[[str], None]) -> None:
    """Refused when the version check, asked by `look`, says `asleep`: afterwards the gate would not pass.

    A check that does not answer refuses nothing, since a deployment may be what mends it; that is said.
    """
    try:
        status = look()["status"]
    except (FunctionFailed, KeyError, BotoCoreError, ClientError) as error:
        say(f"the version check does not say whether {environment} sleeps: {error!r}")
        return
    if status == ASLEEP:
        raise Refused(f"{environment} is asleep: make wake ENV={environment} first")
