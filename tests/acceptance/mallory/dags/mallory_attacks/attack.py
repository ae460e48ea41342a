"""What an attack is: a function that returns evidence of its success, without secrets, or raises what refused it."""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUCCEEDED, REFUSED, BROKEN = "succeeded", "refused", "broken"
# The names of exceptions by which an attack is refused. Any other is a mistake in the attack, and fails its test.
REFUSALS = frozenset(
    {
        "Refused",
        "PermissionError",
        "ConnectionError",  # Python's and redis-py's
        "ConnectionRefusedError",
        "AuthenticationError",
        "NoPermissionError",
        "OperationalError",  # of psycopg and kombu
        "InsufficientPrivilege",
        "AccessRefused",
    }
)


class Refused(Exception):
    """The attack met a boundary; the reason without a secret."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the attacker is given: addresses and names, which are no secrets, and how to recognize a secret.

    `secrets`: the kind of each by its SHA-256, so that what was found is surely one. `lengths`: those of the secrets.
    """

    secrets: dict[str, str]
    lengths: tuple[int, ...]
    broker: tuple[str, int]
    database: tuple[str, int]
    webserver: str
    bucket: str
    cluster: str
    secret_arns: dict[str, str]
    services: list[str]
    functions: list[str]
    tasks: dict[str, str]  # role -> ARN of a running ECS task
    definition: str  # the ARN of the task definition of airflow
    execution_role: str  # that of the attacker's own ECS task
    victim: dict[str, str]  # run_id, task instance ids by task, connection, variable
    drop: Path
    own: dict[str, Any] = field(default_factory=dict)  # of the attacker's own task instance

    @classmethod
    def of(cls, conf: dict[str, Any], own: dict[str, Any]) -> Facts:
        """Read them from the run's conf."""
        facts = dict(conf["facts"])
        for name in ("broker", "database", "lengths"):
            facts[name] = tuple(facts[name])
        return cls(**{**facts, "drop": Path(facts["drop"]), "own": own})

    def kind(self, value: str) -> str | None:
        """Return which secret the value is, if any."""
        return self.secrets.get(hashlib.sha256(value.encode()).hexdigest())


Function = Callable[[Facts], str]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack. `is_wrecking`: its success would disturb others, so it runs alone and late."""

    name: str
    tries: str
    function: Function
    is_wrecking: bool = False


ATTACKS: dict[str, Attack] = {}


def attack(function: Function) -> Function:
    """Register an attack; its docstring says what it tries."""
    return _register(function, is_wrecking=False)


def wrecking(function: Function) -> Function:
    """Register an attack that runs alone and late."""
    return _register(function, is_wrecking=True)


def _register(function: Function, *, is_wrecking: bool) -> Function:
    name, tries = function.__name__, (function.__doc__ or "").strip()
    if name in ATTACKS or not tries:
        raise ValueError(f"attack {name}: needs a name of its own and a docstring")
    ATTACKS[name] = Attack(name=name, tries=tries, function=function, is_wrecking=is_wrecking)
    return function


def run(name: str, facts: Facts) -> None:
    """Run one attack, and write its result to the drop."""
    tried = ATTACKS[name]
    try:
        result = {"outcome": SUCCEEDED, "evidence": tried.function(facts)}
    except Exception as error:  # noqa: BLE001 - each is recorded
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & REFUSALS:
            said = str(error) if isinstance(error, Refused) else ""
            result = {"outcome": REFUSED, "evidence": f"{type(error).__name__}: {said}".rstrip(": ")}
        else:
            frames = traceback.extract_tb(error.__traceback__)
            where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} via {frames[min(1, len(frames) - 1)].lineno}"
            result = {"outcome": BROKEN, "evidence": f"{type(error).__name__} at {where}"}
    record(facts, name, result)


def record(facts: Facts, name: str, result: dict[str, str]) -> None:
    """Write a result, and the uid that it was made with, to the drop; the last one of a name counts."""
    path = facts.drop / f"{name}.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({**result, "uid": os.geteuid()}))
    fresh.rename(path)
