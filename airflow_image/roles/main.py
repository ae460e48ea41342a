"""Starts a container: checks its role, starts the reporter and the log server, becomes the program."""

from __future__ import annotations

import os
import subprocess
import sys

from agent import log_listener, variables
from agent.gates import limit_s
from agent.identity import MetadataUnavailableError, read_task_arn
from fleet.pools import PoolsError
from roles import health, schema
from roles.compose import ROLES, Program, Role, compose
from roles.errors import ConfigurationError

# Exit codes of sysexits.h.
USAGE = 64
UNAVAILABLE = 69
CONFIGURATION = 78

HEALTH = "health"
SCHEMA = "schema"
DAGS = "dags"


def main(arguments: list[str]) -> int:
    """Become the program of the role that `arguments` name, or return an exit code after one line that says why.

    `health ROLE` checks the container of that role; `schema` prints what roles.schema reads; `dags`
    checks the image's DAG files, see dag_check.
    """
    if len(arguments) == 2 and arguments[0] == HEALTH and arguments[1] in health.CHECKS:
        return health.main(arguments[1])
    if arguments == [SCHEMA]:
        return schema.main()
    if arguments == [DAGS]:
        checking = [sys.executable, "-P", "-m", "dag_check", os.environ[variables.DAGS_FOLDER]]
        os.execv(checking[0], checking)  # noqa: S606 - its exit code is this one's
    role = ROLES.get(arguments[0]) if len(arguments) == 1 else None
    if role is None:
        return _refuse(f"usage: entrypoint ROLE, where ROLE is one of {', '.join(ROLES)}", USAGE)
    try:
        program = compose(role, os.environ)
        gate_s = _gate_limit_s()
        if role.in_fleet:
            program.environment[variables.TASK_ARN] = read_task_arn(os.environ[variables.METADATA_URI])
    except (ConfigurationError, PoolsError) as error:
        return _refuse(f"entrypoint {role.name}: {error}", CONFIGURATION)
    except MetadataUnavailableError as error:
        return _refuse(f"entrypoint {role.name}: {error}", UNAVAILABLE)
    if role.waits_for is not None:
        # Imported here: the import takes a moment, and no other role needs it.
        from roles.gate import take_turn

        take_turn(role.waits_for, program.environment, limit_s=gate_s)
    _become(role, program)
    return UNAVAILABLE  # not reached: the process is the program now


def _become(role: Role, program: Program) -> None:
    if role.has_reporter:
        reporter = [sys.executable, "-m", "agent.reporter", str(os.getpid())]
        subprocess.Popen(reporter, env=program.environment, stdin=subprocess.DEVNULL)
    if role.serves_logs:
        log_listener.start_server(log_listener.listen(program.environment), program.environment)
    os.execvpe(program.argv[0], program.argv, program.environment)  # noqa: S606 - signals must reach Airflow itself


def _gate_limit_s() -> float:
    try:
        return limit_s(os.environ)
    except ValueError:
        names = f"{variables.GATE_MINUTES} or {variables.ROLLOUT_PATIENCE_MINUTES}"
        raise ConfigurationError(f"{names} is not a number") from None


def _refuse(line: str, code: int) -> int:
    sys.stderr.write(f"{line}\n")
    return code
