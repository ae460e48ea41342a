"""The worker's Celery application beside Airflow's own."""

from pathlib import Path

import pytest

from roles.compose import ROLES, compose
from tests.support.airflows_python import asked, needs_airflow
from tests.unit.agent.test_entrypoint import GIVEN

pytestmark = needs_airflow

DIFFERENCES = """
import os
from agent.celery_app import celery_settings
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG as airflows
ours = celery_settings(os.environ)
answer({name: ours.get(name) for name in sorted({*ours, *airflows}) if ours.get(name) != airflows.get(name)})
"""
IMPORTED = """
import importlib, sys
import agent.start_worker
from agent.variables import WORKER_MODULES
for name in WORKER_MODULES:
    importlib.import_module(name)
answer(sorted({name.partition(".")[0] for name in sys.modules} & {"airflow", "sqlalchemy", "fastapi", "pydantic"}))
"""
MALFORMED = """
from agent.runner.preload import preload
from agent.runner.server import decoded
try:
    decoded('{"token": "a secret of the task", "type": "ExecuteTask"}', preload())
except Exception as error:
    answer([type(error).__name__, str(error)])
"""


def given(**changes: str) -> dict[str, str]:
    """Return the worker's environment after its entrypoint."""
    composed = compose(ROLES["worker"], {**GIVEN, **changes}).environment
    return {name: value for name, value in composed.items() if name not in ("PATH", "PYTHONPATH", "AIRFLOW_HOME")}


@pytest.mark.parametrize("scheme", ["redis", pytest.param("rediss", marks=pytest.mark.slow)])
def test_its_settings_are_those_of_airflows_provider(tmp_path: Path, scheme: str) -> None:
    own = {"AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": '{"worker_max_tasks_per_child": 5}', "BROKER_SCHEME": scheme}
    differences = asked(DIFFERENCES, home=tmp_path, **given(**own))
    # The slots are given at the start; the other two are empty at Airflow, and for a database.
    assert differences == dict.fromkeys(
        ("database_engine_options", "result_backend_transport_options", "worker_concurrency")
    )


def test_a_worker_imports_nothing_of_airflow(tmp_path: Path) -> None:
    assert asked(IMPORTED, home=tmp_path, **given()) == []


def test_a_workload_that_cannot_be_read_is_refused_without_being_shown(tmp_path: Path) -> None:
    kind, said = asked(MALFORMED, home=tmp_path)
    assert kind == "ValueError"
    assert said.startswith("no workload of this version of Airflow")
    assert "secret" not in said
