"""What DAG files import is imported once, before the first task, and no code of theirs runs in the runner."""

import os
import signal
from pathlib import Path

import psutil

from tests.support.airflow_runner import AirflowRunner
from tests.support.airflows_python import needs_airflow
from tests.support.waiting import eventually

pytestmark = needs_airflow

# Each of these writes down in which process it runs.
NOTE = "import os\nopen(os.environ['FOLDER'] + f'/{{}}-{os.getpid()}', 'w').close()\n"
DAG = (
    NOTE.replace("{{}}", "dag")
    + """
import harmless, harmful
from airflow.sdk import dag, task

@dag(schedule=None)
def memory():
    @task
    def first():
        print("imported in", harmless.PID)
    @task
    def second():
        print("imported in", harmless.PID)
    first()
    second()
memory()
"""
)
HARMLESS = NOTE.replace("{{}}", "harmless") + "PID = os.getpid()\n"
HARMFUL = (
    NOTE.replace("{{}}", "harmful")
    + "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
)
PLUGIN = (
    NOTE.replace("{{}}", "plugin")
    + "from airflow.plugins_manager import AirflowPlugin\nclass Own(AirflowPlugin):\n    name = 'own'\n"
)


def pids(folder: Path, what: str) -> set[int]:
    return {int(path.name.rpartition("-")[2]) for path in folder.glob(f"{what}-*")}


def test_packages_and_plugins_are_imported_before_the_first_task(tmp_path: Path) -> None:
    packages, folder = tmp_path / "site-packages", tmp_path / "home"
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "own.py").write_text(PLUGIN)
    for name, code in (("harmless", HARMLESS), ("harmful", HARMFUL)):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(code)
    runner = AirflowRunner(folder, dag=DAG, limit_mib=2048, in_group=False, packages=packages)
    try:
        runs = [runner.start("first"), runner.start("second")]
        assert all(run.join() for run in runs)
        assert [run.outcome and run.outcome.error for run in runs] == ["", ""], runner.log
        (serving,) = psutil.Process(runner.process.pid).children()
        for run in runs:
            assert f"imported in {serving.pid}" in run.log
        assert serving.pid in pids(folder, "plugin")
        # The thread showed in the process that was thrown away; each task starts its own.
        assert serving.pid not in pids(folder, "harmful")
        assert len(pids(folder, "harmful")) == 3
        assert len(pids(folder, "harmless") - {serving.pid}) <= 1
        assert serving.pid not in pids(folder, "dag")
        assert "not imported for all tasks: harmful: Unfit: 1 threads are started" in runner.log
        os.kill(serving.pid, signal.SIGKILL)
        assert runner.process.wait(30) == -signal.SIGKILL
    finally:
        runner.close()


def test_a_broken_plugin_is_left_to_the_tasks_which_log_why(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "own.py").write_text("raise RuntimeError('broken')")
    runner = AirflowRunner(
        folder,
        dag=DAG.replace("import harmless, harmful", "import os as harmless; harmless.PID = 0"),
        limit_mib=2048,
        in_group=False,
    )
    try:
        run = runner.start("first")
        assert run.join()
        assert "not imported for all tasks: plugins: ImportError" in runner.log
        assert eventually(lambda: psutil.Process(runner.process.pid).children() == [])
        assert "Failed to import plugin" in run.log
    finally:
        runner.close()
