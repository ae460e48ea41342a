"""Gives Airflow the settings under which it reads DAG files as in the container dag-processor, without a database."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from agent import variables
from fleet.pools import POOLS
from roles.cluster_policy import DAG_PROCESSOR
from roles.compose import COMMON
from roles.parts import PARSING

TRACEBACK_LINES = 100  # Airflow's 2 would leave out the DAG file, if a module that it imports fails
NO_DATABASE = "sqlite:////nonexistent/fleet-dag-check.db"


def apply(folder: Path, *, home: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables. Call this before Airflow is imported. `environment` must have POOLS.

    Raises KeyError without POOLS.
    """
    pools = environment[POOLS]
    for name in [name for name in environment if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
        if name != variables.PLUGINS_FOLDER:
            del environment[name]
    environment.update(
        {
            **COMMON,
            **PARSING.settings(environment),
            POOLS: pools,
            variables.ROLE: DAG_PROCESSOR,
            variables.AIRFLOW_HOME: str(home),
            variables.DAGS_FOLDER: str(folder),
            variables.DATABASE_URL: NO_DATABASE,
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",  # dag_check.one_file has a limit of its own
            "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": str(TRACEBACK_LINES),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
            "AIRFLOW__SECRETS__BACKEND": "dag_check.secrets.NoSecrets",
        }
    )
