"""Composes a role's program and environment from the variables of the task definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import variables
from agent.addresses import listening_address
from agent.gates import Rule, other_workers, other_workers_unless_newer
from roles import parts
from roles.cluster_policy import DAG_PROCESSOR
from roles.environment_settings import with_environment_settings
from roles.errors import MissingVariablesError
from roles.log_paths import RUN_ID_PATTERN
from roles.parts import Part, Variables

FLOWER_CONFIGURATION = Path(__file__).resolve().parents[1] / "agent" / "flower_configuration.py"
COMMON = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "agent.addresses.own_address",
    # The webserver creates runs for users and tasks, the scheduler for timetables.
    "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": RUN_ID_PATTERN,
}
RAW_SECRETS = frozenset(
    name for part in vars(parts).values() if isinstance(part, Part) for name in part.raw
)  # none of them reaches a program, even if its role does not need it


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role that a container can have. `has_reporter`: a process beside Airflow's reports it to the fleet.

    `serves_logs`: so does its log server. A worker starts its own.
    `waits_for`: the rule that names the members which it must wait for, in a deployment, before it starts.
    """

    name: str
    parts: tuple[Part, ...]
    command: Callable[[Variables], list[str]]
    has_reporter: bool = True
    serves_logs: bool = False
    waits_for: Rule | None = None

    @property
    def in_fleet(self) -> bool:
        """Return whether it is a member of the fleet, through a reporter, its executor or its agent."""
        return parts.FLEET in self.parts


@dataclass(frozen=True, kw_only=True)
class Program:
    """The program to execute."""

    argv: list[str]
    environment: dict[str, str]


def _flower(given: Variables) -> list[str]:
    at = ["--hostname", listening_address(given), "--port", given["PORT"]]
    return ["airflow", "celery", "flower", *at, "--flower-conf", str(FLOWER_CONFIGURATION)]


_AIRFLOW = (
    *(parts.DATABASE, parts.BROKER, parts.FERNET, parts.CONNECTIONS, parts.BUNDLES),
    *(parts.SITE, parts.FLEET, parts.TELEMETRY),
)

ROLES = {
    role.name: role
    for role in (
        Role(
            name="webserver",
            parts=(
                *(*_AIRFLOW, parts.LOGS, parts.READER, parts.API_KEY, parts.TOKENS),
                *(parts.WEB, parts.SIGN_IN, parts.MACHINES),
            ),
            command=lambda _: ["python", "-m", "agent.web"],
        ),
        Role(
            name="scheduler",
            # It writes no task's log: with the part LOGS it would only import the AWS SDK.
            parts=(*_AIRFLOW, parts.READER, parts.RESULTS, parts.TOKENS, parts.EXECUTION_API, parts.SCHEDULING),
            command=lambda _: ["airflow", "scheduler"],  # with this executor it serves no logs
            has_reporter=False,  # the executor has one
            waits_for=other_workers,
        ),
        Role(
            name=DAG_PROCESSOR,
            parts=(*_AIRFLOW, parts.LOGS, parts.READER, parts.PARSING, parts.MAIL, parts.XCOMS),
            command=lambda _: ["airflow", "dag-processor"],
            waits_for=other_workers,
        ),
        Role(
            name="triggerer",
            parts=(*_AIRFLOW, parts.LOGS, parts.API_KEY, parts.TRIGGER_LOGS, parts.MAIL, parts.XCOMS),
            command=lambda _: ["airflow", "triggerer", "--skip-serve-logs"],
            serves_logs=True,
        ),
        Role(
            name="forecaster",
            parts=(parts.DATABASE, parts.BROKER, parts.READER, parts.FLEET, parts.FORECASTING, parts.COSTS),
            # The scheduler, in the same ECS task, has priority.
            command=lambda _: ["nice", "-n", "10", "python", "-m", "agent.forecaster"],
        ),
        Role(
            name="events",
            parts=(parts.DATABASE, parts.BROKER, parts.FLEET, parts.EVENTS),
            command=lambda _: ["nice", "-n", "10", "python", "-m", "agent.events"],
            has_reporter=False,  # a thread reports it
        ),
        Role(
            # Takes messages and serves logs; runs no code of a DAG.
            name="worker",
            parts=(
                *(parts.BROKER, parts.READER, parts.RESULTS, parts.API_KEY),
                *(parts.WORKING, parts.FLEET, parts.LINEAGE_SENDING),
            ),
            command=lambda _: ["python", "-m", "agent.start_worker"],
            has_reporter=False,
        ),
        Role(
            # Runs the code of DAGs, so it gets no secret. Tasks reach Airflow through the Execution API only.
            name=variables.RUNNER,
            parts=(
                parts.EXECUTION_API,
                parts.CONNECTIONS,
                parts.BUNDLES,
                parts.SITE,
                parts.LOGS,
                parts.MAIL,
                parts.XCOMS,
                parts.LINEAGE,
                parts.RUNNING,
            ),
            command=lambda _: ["python", "-m", "agent.runner"],
            has_reporter=False,
        ),
        Role(name="flower", parts=(parts.BROKER, parts.RESULTS, parts.FLOWER, parts.FLEET), command=_flower),
        Role(
            # Ends when it is the turn of its ECS task, whose other containers start after it.
            name="gate",
            parts=(parts.BROKER,),
            command=lambda _: ["true"],
            has_reporter=False,
            waits_for=other_workers_unless_newer,
        ),
        Role(
            name="migrate",
            parts=(parts.DATABASE, parts.NEW_DATABASE, parts.PEOPLE),
            command=lambda _: ["python", "-m", "sign_in.migrate"],
            has_reporter=False,
        ),
        Role(
            name="clean",
            parts=(parts.DATABASE, parts.CLEANING),
            command=lambda _: ["python", "-m", "agent.cleaning"],
            has_reporter=False,
        ),
        Role(
            name="drill",
            parts=(parts.DATABASE, parts.SCHEMA),
            command=lambda _: ["python", "-m", "agent.drill"],
            has_reporter=False,
        ),
    )
}


def compose(role: Role, given: Mapping[str, str]) -> Program:
    """Return the program for `role`; raise ConfigurationError. An AIRFLOW__ variable that is set beats our default.

    A setting of the environment beats the variable of its name.
    """
    given = with_environment_settings(given)
    missing = sorted({name for part in role.parts for name in part.needs if not given.get(name)})
    if missing:
        raise MissingVariablesError(missing)
    environment = {**COMMON}
    for part in role.parts:
        environment.update(part.settings(given))
    hidden = RAW_SECRETS.union(*(part.hidden for part in role.parts))
    environment.update((name, value) for name, value in given.items() if name not in hidden)
    environment[variables.ROLE] = role.name
    for part in role.parts:
        environment.update(part.secrets(given))
    return Program(argv=role.command(environment), environment=environment)
