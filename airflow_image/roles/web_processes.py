"""How many processes serve the webserver's ports: one for each vCPU, as far as the container's memory allows."""

from __future__ import annotations

from collections.abc import Mapping

from agent import variables
from roles.errors import ConfigurationError

PROCESSES = "AIRFLOW__API__WORKERS"
MAX_OVERFLOW = "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW"
# Each process has two pools of database connections, with and without asyncio. Airflow's ten beyond the pool's five
# would let the copies of `airflow` open more than a database of prd's class accepts.
POOL_SIZE, WEB_OVERFLOW = 5, 5
CONNECTIONS_A_PROCESS = 2 * (POOL_SIZE + WEB_OVERFLOW)
UNITS_OF_A_VCPU = 1024
# Measured by `python -m bench.micro.execution_api`: a process under load, and what the container has besides.
PROCESS_MIB = 337  # 25 of them FAB's, 12 for sending metrics
REST_MIB = 100


def processes(given: Mapping[str, str]) -> int:
    """Return the number of processes. Raises ConfigurationError for an operator's own number that does not fit.

    Python runs on one processor in each process, so with one process the Execution API is as slow on four vCPUs as on
    one. A container that is too small for one process gets one: its size is the operator's choice.
    """
    memory_mib = _number(given, variables.MEMORY_MIB)
    fitting = max(1, (memory_mib - REST_MIB) // PROCESS_MIB)
    if given.get(PROCESSES):
        wanted = _number(given, PROCESSES)
        if not 1 <= wanted <= fitting:
            raise ConfigurationError(
                f"{PROCESSES} is {wanted}, and {memory_mib} MiB suffice for 1 to {fitting}: set another number, or "
                "raise AirflowMemory"
            )
        return wanted
    return min(fitting, max(1, _number(given, variables.CPU_UNITS) // UNITS_OF_A_VCPU))


def _number(given: Mapping[str, str], name: str) -> int:
    try:
        return int(given[name])
    except ValueError:
        raise ConfigurationError(f"{name} is {given[name]!r}, not a number") from None
