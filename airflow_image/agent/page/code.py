"""Groups the fleet's live members by their code, and compares each group with the webserver.

Pure. An unknown value is never equal to another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from agent.page.entries import Check
from fleet.member import CODE_FIELDS, ROLES, RUNNING, STOPPED, WEBSERVER, Code, Member

IN_SYNC = "in_sync"
OUT_OF_SYNC = "out_of_sync"
UNKNOWN = "unknown"
_role_with_code = attrgetter("role", *CODE_FIELDS)  # a Code for each member takes longer
# The webserver first: the others are compared with it.
ORDER_OF_ROLES = (WEBSERVER, *sorted(ROLES - {WEBSERVER}))


def code_by_role(members: Iterable[Member], *, malformed: Iterable[str], check: Check | None = None) -> dict[str, Any]:
    """Return `status`, `reference` (the webserver's code or None), `groups` and `unknown` (sentences), for JSON.

    `starting`: POSIX times since which workers start, if nothing else is unknown. The status is unknown then, too: a
    missing report is never taken for equal.

    A group: role, code, number of `members`, number of `active` tasks, the fields in which it `differs`.
    The reference is the running webserver that started last: in a rollout an older one differs from it like others.
    `check`: the version check's last result, which also covers the tasks that ECS runs; None without a recent one.
    """
    alive = [member for member in members if member.state != STOPPED]
    webservers = [member for member in alive if member.role == WEBSERVER and member.state == RUNNING]
    reference = max(webservers, key=lambda member: (member.started_at, member.id)).code if webservers else None
    groups = _groups(alive, reference)
    unknown = [f"{member}: its record is malformed" for member in sorted(set(malformed))]
    if not alive:
        unknown.append("no container has reported: the stack is asleep, or starts")
    elif reference is None:
        unknown.append("no webserver has reported: there is nothing to compare with")
    for group in groups:
        unknown += (f"{group['role']}: reports no {name}" for name, value in group["code"].items() if not value)
    starting = check.starting if check is not None and check.status == UNKNOWN and not unknown else ()
    if check is not None and check.status != IN_SYNC and not starting:
        unknown.append(f"the version check, which also asks ECS, reports {check.status.replace('_', ' ')}")
    differing = [group for group in groups if group["differs"]]
    return {
        "status": OUT_OF_SYNC if differing else UNKNOWN if unknown or starting else IN_SYNC,
        "reference": None if reference is None else asdict(reference),
        "compared": len(alive),
        "differing": sum(group["members"] for group in differing),
        "differing_active": sum(group["active"] for group in differing),
        "groups": groups,
        "unknown": unknown,
        "starting": starting,
    }


def differences(code: Code, reference: Code | None) -> list[str]:
    """Return the fields that are known in both and not equal."""
    known = asdict(reference) if reference else {}
    return [name for name, value in asdict(code).items() if value and known.get(name) and value != known[name]]


def _groups(alive: Iterable[Member], reference: Code | None) -> list[dict[str, Any]]:
    found: dict[tuple[str, ...], list[Member]] = {}
    for member in alive:
        found.setdefault(_role_with_code(member), []).append(member)
    groups = [
        {
            "role": members[0].role,
            "code": asdict(members[0].code),
            "members": len(members),
            "active": sum(member.active for member in members),
            "differs": differences(members[0].code, reference),
        }
        for members in found.values()
    ]
    return sorted(groups, key=lambda group: (_rank(str(group["role"])), str(group["code"])))


def _rank(role: str) -> tuple[int, str]:
    known = ORDER_OF_ROLES.index(role) if role in ORDER_OF_ROLES else len(ORDER_OF_ROLES)
    return known, role
