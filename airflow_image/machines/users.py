"""The users of Airflow that stand for machines, and the tokens that Airflow makes for them."""

from __future__ import annotations

import hashlib

from machines.machine import Machine
from machines.refusals import NotMapped, Unavailable

TOKEN_LIFE_S = 900
DOMAIN = "machines.invalid"  # no mail can be sent there


def token_for(machine: Machine) -> str:
    """Return a token of the REST API. Raises NotMapped if the machine may have none, Unavailable."""
    # Imported here: it needs Airflow, and the rest of this package does not.
    from sign_in.users import NotActive, UnknownRole, issue_token

    try:
        return issue_token(key=key_of(machine), name=machine.username, roles=(machine.role,), lifetime_s=TOKEN_LIFE_S)
    except UnknownRole as error:
        raise NotMapped(f"{machine.identity} is mapped to a role that does not exist: {error}") from None
    except NotActive:
        raise NotMapped(f"the user of {machine.identity} is deactivated in Airflow") from None
    except RuntimeError as error:  # also if someone made a user of this name by hand
        raise Unavailable(str(error)) from None


def key_of(machine: Machine) -> str:
    """Return what tells the machine's user from all others: in the column of mail addresses, which are unique."""
    return f"{hashlib.sha256(machine.identity.encode()).hexdigest()}@{DOMAIN}"
