"""The line by which a container's log says that telemetry could not be delivered."""

from __future__ import annotations

import sys

FIELD = "telemetry_undelivered"  # the template's metric filters read it


def write_line(line: str) -> None:
    """Write a line to the container's log. CloudWatch reads a line that is JSON as a whole, and no other."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
