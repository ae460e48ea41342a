"""`make up DAGS=FOLDER`: what an author changes is seen within seconds, and commands reach the running stack."""

import json
import re
import stat
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from local.stack.rest_api import ADMIN, Airflow
from project import environments
from project.clients import Clients
from tests.acceptance.conftest import Command

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(900)]

RUNS = "the stack runs"
UP_TIMEOUT_S, END_TIMEOUT_S = 300, 90
EDITS = 20
EDIT_SEEN_S, NEW_SEEN_S, ERROR_SEEN_S = 3.0, 10.0, 10.0  # of the edits 95 % must be seen within the first
SECRET = "very-secret-word"
SEED = f"""
variables:
  greeting: hello
connections:
  lake: postgresql://ada:{SECRET}@db.internal:5432/lake
"""
DAG = """
from airflow.sdk import Variable, dag, task
import helper


@dag(schedule=None, description="{text} " + helper.WORD)
def live():
    @task
    def say():
        print("the task says", Variable.get("greeting"), "{text}")

    say()


live()
"""


def airflow_of(stack: Command) -> Airflow:
    """Return a signed-in client of the stack."""
    running = json.loads((stack.state / "running.json").read_text())
    clients = Clients(running["endpoint"], running["region"])
    stack_name = environments.load("local").stack_name
    (deployed,) = clients.cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in deployed["Outputs"]}
    password = clients.secretsmanager.get_secret_value(SecretId=outputs["AdminSecretArn"])["SecretString"]
    (url,) = re.findall(r"Airflow (http://\S+)", stack.said)
    return Airflow(url, user=ADMIN, password=password)


def seconds_until(is_so: Callable[[], bool], *, limit_s: float) -> float:
    """Return how long it took; `limit_s` if it did not happen within it."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        if is_so():
            return time.monotonic() - began
        time.sleep(0.05)
    return limit_s


def test_a_folder_of_dag_files_is_live(command: Callable[..., Command], tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "airflow_local.yaml").write_text(SEED)
    (folder / "helper.py").write_text("WORD = 'first'\n")
    stack = command("up", f"DAGS={folder}", "KEEP=1")
    stack.reaches(RUNS, timeout_s=UP_TIMEOUT_S)
    airflow, file = airflow_of(stack), folder / "live.py"

    def has(text: str) -> bool:
        return airflow.description("live") == text

    file.write_text(DAG.format(text="new"))
    new_s = seconds_until(lambda: has("new first"), limit_s=60)
    edits = []
    for number in range(EDITS):
        time.sleep(0.3 * (number % 7))  # at any moment of the DAG processor's loop
        file.write_text(DAG.format(text=f"edit {number}"))
        edits.append(seconds_until(partial(has, f"edit {number} first"), limit_s=60))
    (folder / "helper.py").write_text("WORD = 'second'\n")
    helper_s = seconds_until(lambda: has(f"edit {EDITS - 1} second"), limit_s=60)

    # A task runs the folder's code, with the seed's variable.
    run = airflow.trigger("live", {})
    assert seconds_until(lambda: airflow.run_state("live", run) == "success", limit_s=60) < 60
    (instance,) = airflow.task_instances("live", run)
    assert f"the task says hello edit {EDITS - 1}" in airflow.log(instance)

    airflow.close()

    (folder / "broken.py").write_text("from airflow.sdk import dag\nimport nosuch\n")
    error_s = seconds_until(lambda: "broken.py:2: ModuleNotFoundError" in stack.said, limit_s=60)
    (folder / "broken.py").unlink()
    sys.stdout.write(
        f"seen after: edits median {statistics.median(edits):.2f} s, longest {max(edits):.2f} s of {EDITS}; "
        f"new file {new_s:.2f} s; module beside it {helper_s:.2f} s; import error on the terminal {error_s:.2f} s\n"
    )
    assert sorted(edits)[round(0.95 * EDITS) - 1] < EDIT_SEEN_S, edits
    assert new_s < NEW_SEEN_S
    assert helper_s < NEW_SEEN_S
    assert error_s < ERROR_SEEN_S

    asked = command("airflow", "ARGS=dags list -o plain")
    assert asked.wait(60) == 0
    assert "live" in asked.said.split()
    assert command("shell").wait(60) == 0  # its input has ended
    # The image's code is the same everywhere: a live folder is no skew.
    assert "Out of sync" not in stack.said
    assert command("down").wait(END_TIMEOUT_S) == 0
    assert stack.wait(END_TIMEOUT_S) == 0
    assert SECRET not in stack.said
    kept = stack.state / "kept.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())["connections"]["lake"]["password"] == SECRET
