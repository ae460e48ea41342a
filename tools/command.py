#!/usr/bin/env python3
"""Run a command of the Makefile with the variables that its caller set.

The Makefile hands variables over by environment and never expands them. Here, and nowhere else, they become arguments:
each is checked against what it may hold, and no shell sees it. Standard library only.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

REFUSED = 1  # nothing was begun
UNKNOWN = 2  # of the commands that answer a question: versions, sleep, wake


@dataclass(frozen=True)
class Kind:
    """What a variable may hold: `pattern` matches the whole value, `means` says it in words."""

    pattern: str
    means: str
    is_list: bool = False  # several arguments, quoted as in a shell

    def arguments(self, value: str) -> list[str]:
        """Return the arguments in a value. Raises ValueError when the value is not of this kind."""
        words = shlex.split(value) if self.is_list else [value]
        if not all(re.fullmatch(self.pattern, word) for word in words):
            raise ValueError(value)
        return words


NAME = Kind(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}", "letters, digits and _ . + -, at most 128")
ENVIRONMENT = Kind(r"[a-z][a-z0-9-]{0,30}", "an environment of samconfig.toml")
NUMBER = Kind(r"\d{1,9}(\.\d{1,9})?", "a number")
WHOLE = Kind(r"\d{1,9}", "a whole number")
PATH = Kind(r"[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,4095}", "a path, not beginning with -")
REVISION = Kind(r"[0-9a-z_]{4,64}", "a revision of Airflow's database")
COMMIT = Kind(r"[A-Za-z0-9][A-Za-z0-9._/~^@{}-]{0,250}", "a revision of git")
IMAGE = Kind(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}(@sha256:[0-9a-f]{64})?", "a name of an image")
CHANGE_SET = Kind(
    r"none|arn:aws[a-z-]*:cloudformation:[a-z0-9-]+:\d{12}:changeSet/[A-Za-z0-9-]+/[A-Za-z0-9-]+",
    "the ARN of a change set, or none",
)
ROLE = Kind(r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]+", "the ARN of a role")
PRINCIPAL = Kind(r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+", "ARNs of roles or users", is_list=True)
REPO = Kind(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", "OWNER/NAME")
BUCKET = Kind(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket")
SWITCH = Kind(r"[A-Za-z0-9]{1,8}", "1 or empty")
BUNDLE = Kind(r"[a-z][a-z0-9-]{0,30}", "a name of small letters, digits and dashes")
BUILDER = Kind(r"docker|podman|buildah", "docker, podman or buildah")
WORDS = Kind(r"[a-z][a-z0-9-]*", "names, separated by spaces", is_list=True)
OPTIONS = Kind(r"[^\x00-\x08\x0e-\x1f\x7f]*", "options, quoted as in a shell", is_list=True)
PACKAGE = Kind(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?((===?|[<>~!]=|[<>])[A-Za-z0-9.*+!]+(,([<>~!]?=|[<>])[A-Za-z0-9.*+!]+)*)?",
    "a package as in a requirements file, such as polars==1.2",
)
GIT = Kind(
    r"https?://[A-Za-z0-9._~:/-]+(#[A-Za-z0-9._/+@-]*(:[A-Za-z0-9._ /+@-]*)?)?",
    "https://HOST/PATH#BRANCH:FOLDER without a token",
)
UPGRADE = Kind(
    r"--upgrade|--upgrade-package=[A-Za-z0-9][A-Za-z0-9._=-]*", "--upgrade or --upgrade-package=NAME", is_list=True
)

VARIABLES: Mapping[str, Kind] = {
    "AIRFLOW_ON_ECS_STATE": PATH,
    "ANY_BASE": SWITCH,
    "ARGS": OPTIONS,
    "AUTHORITIES": PATH,
    "AWAKE_HOURS": NUMBER,
    "BASE": IMAGE,
    "BOOT_MEDIAN": NUMBER,
    "BOOT_P95": NUMBER,
    "BUDGET": NUMBER,
    "BUILDER": BUILDER,
    "BUNDLE": BUNDLE,
    "CHANGE_SET": CHANGE_SET,
    "CLOUDFORMATION_ROLE": ROLE,
    "CONCURRENCY": WHOLE,
    "DAGS": PATH,
    "DELIVERY_BUCKET": BUCKET,
    "DEPLOYMENTS": WHOLE,
    "DRY_RUN": SWITCH,
    "ENV": ENVIRONMENT,
    "FLAGS": OPTIONS,
    "FOLLOW": NUMBER,
    "GIT": GIT,
    "HISTORY": PATH,
    "KEEP": WHOLE,
    "KEEP_DAYS": WHOLE,
    "MAXIMUM": WHOLE,
    "MINIMUM": WHOLE,
    "ONLY": WORDS,
    "OPERATORS": PRINCIPAL,
    "OPTIONS": OPTIONS,
    "PACKAGE": PACKAGE,
    "PLAN": PATH,
    "QUEUE": NAME,
    "REPO": REPO,
    "REPOSITORY": IMAGE,
    "REV": COMMIT,
    "REVISION": REVISION,
    "ROLE": ROLE,
    "SEEDS": WHOLE,
    "TAG": NAME,
    "TASKS": WHOLE,
    "TASK_SECONDS": NUMBER,
    "UPGRADE": UPGRADE,
    "VERSION": NAME,
    "VS": ENVIRONMENT,
    "VS_REV": COMMIT,
    "WAIT": NUMBER,
    "YES": SWITCH,
}

Line = Sequence[str]
WITH_SEPARATOR = ("airflow", "image")  # their loose values may begin with -


@dataclass(frozen=True)
class Command:
    """A command: its arguments, and the variables that it takes.

    `options` become `--option=value`. `several` become `--option value value`, `switches` a bare `--option`, and
    `loose` the values alone, after the others. `inherited` stay in the environment, where the command reads them.
    `variant`: a variable, and the command that runs in place of this one if it is set.
    """

    line: Line
    options: Mapping[str, str] | None = None
    several: Mapping[str, str] | None = None
    switches: Mapping[str, str] | None = None
    loose: Sequence[str] = ()
    required: Sequence[str] = ()
    inherited: Sequence[str] = ("AIRFLOW_ON_ECS_STATE",)
    refused: int = REFUSED
    is_module: bool = True
    variant: tuple[str, Command] | None = None


DEPLOYMENT = {
    "ENV": "env",
    "VERSION": "version",
    "PLAN": "output",
    "CHANGE_SET": "change-set",
    "WAIT": "wait",
    "CLOUDFORMATION_ROLE": "cloudformation-role",
    "DELIVERY_BUCKET": "bucket",
}
DEPLOYMENT_SWITCHES = {"PLAN": "plan-only", "YES": "yes"}
STORE = {"DELIVERY_BUCKET": "bucket"}
COST = {
    "ENV": "env",
    "REV": "rev",
    "VS": "vs",
    "VS_REV": "vs-rev",
    "TASKS": "tasks",
    "TASK_SECONDS": "task-seconds",
    "DEPLOYMENTS": "deployments",
    "AWAKE_HOURS": "awake-hours",
}
COST_OF_HISTORY = {
    **{name: COST[name] for name in ("ENV", "REV", "VS", "VS_REV")},
    "BOOT_MEDIAN": "boot-median",
    "BOOT_P95": "boot-p95",
}
IMAGE_BUILD = {
    "VERSION": "version",
    "TAG": "tag",
    "REPOSITORY": "repository",
    "BASE": "base",
    "AUTHORITIES": "authorities",
    "BUILDER": "builder",
}
REPLAY = {
    "QUEUE": "queue",
    "WAIT": "wait",
    "CONCURRENCY": "concurrency",
    "MINIMUM": "minimum",
    "MAXIMUM": "maximum",
    "BOOT_MEDIAN": "boot-median",
    "BOOT_P95": "boot-p95",
    "SEEDS": "seeds",
}
UV_COMPILE = (
    *("pip", "compile", "-q", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-header"),
)

COMMANDS: Mapping[str, Command] = {
    "add-package": Command(("ops.image.add_package",), loose=("PACKAGE",), required=("PACKAGE",)),
    "airflow": Command(("local", "airflow"), loose=("ARGS",), required=("ARGS",)),
    "bench": Command(("bench.report",), loose=("FLAGS",)),
    "check": Command(("local", "check"), {"ENV": "env"}, required=("ENV",)),
    "clean-database": Command(
        ("ops.cleaning",),
        {"ENV": "env", "KEEP_DAYS": "keep-days", "WAIT": "wait"},
        switches={"DRY_RUN": "dry-run"},
        required=("ENV",),
        refused=UNKNOWN,
    ),
    "cost": Command(
        ("ops.cost",),
        COST,
        required=("ENV",),
        variant=("HISTORY", Command(("bench.costs",), COST_OF_HISTORY, loose=("HISTORY",), required=("ENV",))),
    ),
    "cut-release": Command(("tools.changelog", "cut"), {"VERSION": "version"}, required=("VERSION",)),
    "dags": Command(
        ("ops.dags",),
        {
            "ENV": "env",
            "DAGS": "dags",
            "GIT": "git",
            "FOLLOW": "follow",
            "BUNDLE": "bundle",
            "VERSION": "version",
            "KEEP": "keep",
            "WAIT": "wait",
        },
        required=("ENV",),
    ),
    "decisions": Command(("local", "decisions")),
    "demo": Command(("local", "demo")),
    "deploy-local": Command(("local", "deploy"), {"VERSION": "version"}),
    "down": Command(("local", "down")),
    "drill": Command(("ops.drill",), {"ENV": "env", "WAIT": "wait"}, required=("ENV",), refused=UNKNOWN),
    "faults": Command(("local", "faults"), several={"ONLY": "only"}, loose=("FLAGS",)),
    "image": Command(("ops.image",), IMAGE_BUILD, switches={"ANY_BASE": "any-base"}, loose=("OPTIONS",)),
    "lock": Command(UV_COMPILE, loose=("UPGRADE",), is_module=False),
    "pipeline-ledger": Command(
        ("ops.delivery", "ledger"),
        {"ENV": "env", "ROLE": "role", **STORE},
        several={"OPERATORS": "operators"},
        required=("ENV", "ROLE"),
    ),
    "pipeline-role": Command(
        ("ops.delivery", "role"),
        {"ENV": "env", "ROLE": "role", "REPO": "repository", "CLOUDFORMATION_ROLE": "cloudformation-role", **STORE},
        required=("ENV", "ROLE", "REPO", "CLOUDFORMATION_ROLE"),
    ),
    "prewarm": Command(("local", "prewarm")),
    "promote": Command(
        ("ops.delivery", "promote"), DEPLOYMENT, switches=DEPLOYMENT_SWITCHES, required=("ENV", "VERSION")
    ),
    "release": Command(
        ("ops.delivery", "release"),
        {"VERSION": "version", "REPOSITORY": "repository", "BUILDER": "builder", **STORE},
        required=("VERSION", "REPOSITORY"),
    ),
    "release-notes": Command(("tools.changelog", "notes"), {"VERSION": "version"}, required=("VERSION",)),
    "releases": Command(("ops.delivery", "status"), STORE),
    "renew-base": Command(("ops.image.base",), {"BASE": "base"}),
    "replay": Command(("bench.report", "replay"), REPLAY, loose=("HISTORY",), required=("HISTORY",)),
    "rollback": Command(("ops.delivery", "rollback"), DEPLOYMENT, switches=DEPLOYMENT_SWITCHES, required=("ENV",)),
    "settle": Command(
        ("ops.delivery", "settle"), {"ENV": "env", "REVISION": "revision", **STORE}, required=("ENV", "REVISION")
    ),
    "shell": Command(("local", "shell")),
    "sleep": Command(("ops.sleep", "asleep"), {"ENV": "env", "WAIT": "wait"}, required=("ENV",), refused=UNKNOWN),
    "test-dags": Command(("ops.dag_tests",), {"BUDGET": "budget"}, loose=("DAGS",)),
    "up": Command(("local", "up"), {"DAGS": "dags"}, switches={"KEEP": "keep"}),
    "versions": Command(
        ("ops.versions",),
        {"ENV": "env", "WAIT": "wait", "BUNDLE": "bundle", "VERSION": "version"},
        required=("ENV",),
        refused=UNKNOWN,
    ),
    "wake": Command(("ops.sleep", "awake"), {"ENV": "env", "WAIT": "wait"}, required=("ENV",), refused=UNKNOWN),
}


class BadVariable(ValueError):
    """A variable is missing or holds what it may not. The message is one line."""


def arguments_of(command: str, environment: Mapping[str, str]) -> list[str]:
    """Return the command's whole argument list. Raises BadVariable."""
    found, given = COMMANDS[command], _Given(environment)
    if found.variant is not None and found.variant[0] in given:
        found = found.variant[1]
    words = list(found.line)
    # All of the pipeline's commands need its bucket.
    for name in (*found.required, *(name for name in STORE if name in (found.options or {}))):
        if name not in given:
            raise BadVariable(f"{name} is not set: make {command} {name}=...")
    for name in found.inherited:
        given(name)
    words += [f"--{option}={word}" for name, option in (found.options or {}).items() for word in given(name)]
    words += [f"--{option}" for name, option in (found.switches or {}).items() if given(name)]
    for name, option in (found.several or {}).items():
        words += [f"--{option}", *given(name)] if given(name) else []
    loose = [word for name in found.loose for word in given(name)]
    return [*words, *(["--"] if command in WITH_SEPARATOR and loose else []), *loose]


class _Given:
    """The variables that are set and not empty, checked when they are taken."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __contains__(self, name: str) -> bool:
        return bool(self._environment.get(name, "").strip())

    def __call__(self, name: str) -> list[str]:
        if name not in self:
            return []
        kind = VARIABLES[name]
        try:
            return kind.arguments(self._environment[name])
        except ValueError:
            # The value is not repeated: a hostile one would reach the log, and a terminal's control characters with it.
            raise BadVariable(f"{name} may not hold this: use {kind.means}") from None


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the command. Exit with its code for a refusal when a variable is missing or wrong.

    After `--check` nothing is run: what takes long before the command can be left out when it would be refused.
    """
    checks_only = arguments[0] == "--check"
    command, *more = arguments[1:] if checks_only else arguments
    try:
        words = arguments_of(command, environment)
    except BadVariable as error:
        print(f"make {command}: {error}", file=sys.stderr)
        sys.exit(COMMANDS[command].refused)
    if checks_only:
        sys.exit(0)
    program = [sys.executable, "-m"] if COMMANDS[command].is_module else [str(Path(sys.executable).with_name("uv"))]
    # A warning or an error must not be overtaken by what the command prints.
    sys.stderr.flush()
    os.execv(program[0], [*program, *words, *more])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
