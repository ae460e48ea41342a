"""What a DAG file defines is imported in the triggerer by the name under which the DAG processor has stored it."""

from pathlib import Path

import pytest

from tests.support.airflows_python import POOLS, asked, needs_airflow

pytestmark = needs_airflow
DAG_FILE = """
from datetime import timedelta
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference
from beside import in_a_module

async def in_the_file(text):
    return "in the file: " + text

for callback in (in_the_file, in_a_module):
    alert = DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1),
                          callback=AsyncCallback(callback))
    globals()["dag_" + callback.__name__] = DAG(callback.__name__, schedule=None, deadline=alert)
"""
BESIDE = """
async def in_a_module(text):
    return "in a module: " + text
"""
PARSE = """
from airflow.dag_processing.dagbag import BundleDagBag
bag = BundleDagBag({folder!r}, bundle_path={folder!r}, bundle_name="dags-folder")
assert not bag.import_errors, bag.import_errors
answer({{name: dag.deadline[0].callback.path for name, dag in bag.dags.items()}})
"""
TRIGGER = """
import asyncio
from airflow.triggers.callback import CallbackTrigger

async def last(path):
    return [event.payload async for event in CallbackTrigger(path, {{"text": "late"}}).run()][-1]

answer({{name: asyncio.run(last(path)) for name, path in {paths!r}.items()}})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    (folder / "team").mkdir(parents=True)
    (folder / "team" / "late-runs.v2.py").write_text(DAG_FILE)
    (folder / "beside.py").write_text(BESIDE)
    return folder


def run(program: str, *, role: str, folder: Path) -> dict[str, object]:
    answer = asked(program, home=folder.parent, FLEET_ROLE=role, POOLS=POOLS, AIRFLOW__CORE__DAGS_FOLDER=str(folder))
    assert isinstance(answer, dict)
    return answer


def test_a_callback_of_a_deadline_may_be_in_the_dag_file_or_in_a_module_beside_it(folder: Path) -> None:
    paths = run(PARSE.format(folder=str(folder)), role="dag-processor", folder=folder)
    assert str(paths["in_the_file"]).startswith("unusual_prefix_")
    assert run(TRIGGER.format(paths=paths), role="triggerer", folder=folder) == {
        "in_the_file": {"state": "success", "body": "in the file: late"},
        "in_a_module": {"state": "success", "body": "in a module: late"},
    }


@pytest.mark.slow
def test_a_callback_of_a_file_that_is_not_in_the_folder_fails_with_what_to_do(folder: Path) -> None:
    program = TRIGGER.format(paths={"gone": "unusual_prefix_0_gone.late"})
    ended = run(program, role="triggerer", folder=folder)["gone"]
    assert isinstance(ended, dict)
    assert ended["state"] == "failed"
    assert "put the callback or trigger into a plugin or a package of the image" in ended["body"]


@pytest.mark.slow
def test_other_roles_import_no_dag_file_by_that_name(folder: Path) -> None:
    paths = run(PARSE.format(folder=str(folder)), role="dag-processor", folder=folder)
    ended = run(TRIGGER.format(paths=paths), role="scheduler", folder=folder)
    assert [each["state"] for each in ended.values() if isinstance(each, dict)] == ["failed", "failed"]
