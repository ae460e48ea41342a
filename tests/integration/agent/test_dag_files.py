"""A DAG file whose name is too long for a log does not end the DAG processor, and tests are no DAG files."""

from pathlib import Path

import pytest

from roles.log_paths import MAX_DAG_FILE_BYTES
from roles.parts import PARSING
from tests.support.airflow_database import STORING
from tests.support.airflows_python import POOLS, asked, needs_airflow

DAG = """
from airflow.sdk import DAG
dag = DAG({dag_id!r}, schedule=None)
"""
PARSE = """
import time
from airflow.dag_processing.manager import DagFileProcessorManager
from airflow.models.dag import DagModel
from sqlalchemy import select

began = time.monotonic()

def parsed():
    with create_session() as session:
        return sorted(session.scalars(select(DagModel.dag_id)))

class UntilParsed(DagFileProcessorManager):
    def max_runs_reached(self):
        return len(parsed()) >= 2 or time.monotonic() - began > 60

UntilParsed(max_runs=1).run()
answer(parsed())
"""


@pytest.mark.slow
@needs_airflow
def test_the_dag_processor_passes_over_a_file_whose_name_is_too_long_for_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    for dag_id, size in (("longest", MAX_DAG_FILE_BYTES), ("longer", MAX_DAG_FILE_BYTES + 1), ("short", len("n.py"))):
        (folder / f"{'n' * (size - len('.py'))}.py").write_text(DAG.format(dag_id=dag_id))
    parsed = asked(
        STORING + PARSE,
        home=tmp_path,
        FLEET_ROLE="dag-processor",
        POOLS=POOLS,
        AIRFLOW__CORE__DAGS_FOLDER=str(folder),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db",
        **PARSING.settings({}),
    )
    assert parsed == ["longest", "short"]


MIGHT = """
from roles.dag_files import might_contain_dag
answer([name for name in {names!r} if might_contain_dag({folder!r} + "/" + name)])
"""
AIRFLOWS = "from airflow.sdk import DAG\n"


@needs_airflow
def test_a_file_is_a_test_if_pytest_collects_its_name_and_it_imports_pytest(tmp_path: Path) -> None:
    files = {
        "load.py": f"import pytest\n{AIRFLOWS}",
        "test_load.py": AIRFLOWS,
        "test_it.py": f"{AIRFLOWS}if True:\n    import pytest\n",
        "it_test.py": f"{AIRFLOWS}from pytest import raises\n",
        "conftest.py": f"{AIRFLOWS}import pytest as each\n",
        "contest_pytest.py": AIRFLOWS,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = asked(MIGHT.format(names=[*files], folder=str(tmp_path)), home=tmp_path)
    assert found == ["load.py", "test_load.py", "contest_pytest.py"]
