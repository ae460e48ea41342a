"""Checks which roles an environment gives to machines."""

from __future__ import annotations

from collections.abc import Mapping

from machines.rules import parse_rules

PARAMETER = "MachineRoles"
LONGEST = 4096  # bytes of a parameter that CloudFormation accepts


def machine_role_faults(parameters: Mapping[str, str]) -> list[str]:
    """Return a line for each fault that would keep the webserver from starting."""
    text = parameters.get(PARAMETER, "")
    faults = []
    if len(text.encode()) > LONGEST:
        faults.append(f"{PARAMETER} has {len(text.encode()):,} bytes, and CloudFormation accepts {LONGEST:,}")
    try:
        parse_rules(text, audience="")
    except ValueError as error:
        faults.append(f"{PARAMETER}: {error}")
    return faults
