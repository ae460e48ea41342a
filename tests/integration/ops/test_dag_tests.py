"""DAG files are tested with the image's packages: a line for each broken one, and the tests beside them run."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ops.dag_tests import check, own_tests
from ops.dag_tests.__main__ import main
from project import paths
from project.errors import CommandError
from tests.support.airflows_python import AIRFLOWS_PYTHON, needs_airflow
from tests.support.broken_dags import BROKEN, GOOD, HEAD, write_broken

pytestmark = needs_airflow
MANY, MANY_WITHIN_CPU_S = 200, 20.0  # on two cores this is half of what is allowed


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, check.Report]:
    folder = tmp_path_factory.mktemp("dags")
    write_broken(folder)
    return folder, check.check(folder, budget_s=2)


def test_each_broken_file_gives_exactly_one_line_with_file_line_and_what_to_do(
    broken: tuple[Path, check.Report],
) -> None:
    found = {(fault["file"], fault["line"], fault["kind"]) for fault in broken[1].record["faults"]}
    assert found == {(name, line, kind) for name, (_, line, kind, _) in BROKEN.items()}
    assert len(broken[1].faults) == len(BROKEN)
    for text in broken[1].faults:
        name, line = text.split(":")[:2]
        assert BROKEN[name][1] == int(line)
        assert BROKEN[name][3] in text
        assert "\n" not in text


def test_the_other_files_are_read_in_spite_of_a_module_named_as_one_of_pythons(
    broken: tuple[Path, check.Report],
) -> None:
    assert {"good", "forks"} <= {*broken[1].record["dags"]}
    assert broken[1].record["files"] == len(BROKEN) + 2  # neither modules without a DAG nor tests


def test_the_check_writes_nothing_into_the_folder(broken: tuple[Path, check.Report]) -> None:
    assert [path.name for path in broken[0].iterdir() if path.suffix != ".py"] == []


def test_no_process_of_a_file_is_left(broken: tuple[Path, check.Report]) -> None:
    # The one of forks.py would sleep for a minute.
    said = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in said.splitlines() if f"dag_check {broken[0]}" in line] == []


def test_a_file_gets_none_of_the_callers_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top-secret")
    (tmp_path / "curious.py").write_text(
        f"{HEAD}import os\n\nassert 'AWS_SECRET_ACCESS_KEY' not in os.environ\nassert os.environ['PATH']\n"
    )
    assert check.check(tmp_path).faults == []


def test_the_images_own_dag_files_are_tested_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--imports-only"]) == 0
    assert "test-dags: all well: 3 DAG files with 3 DAGs" in capfd.readouterr().out


def test_a_folder_that_is_not_there_is_no_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert "is not a folder: set DAGS" in capfd.readouterr().err


def test_a_check_that_does_not_answer_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "declared_pools", lambda: "[]")
    with pytest.raises(CommandError, match="cannot be checked: dag_check: POOLS is not a list"):
        check.check(tmp_path)


def test_the_image_checks_its_own_dag_files(tmp_path: Path) -> None:
    (tmp_path / "well.py").write_text(HEAD + GOOD.format(dag_id="well"))
    (tmp_path / "missing.py").write_text(HEAD + BROKEN["missing.py"][0])
    environment = {
        "PATH": f"{AIRFLOWS_PYTHON.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "POOLS": check.declared_pools(),
    }
    command = [str(AIRFLOWS_PYTHON), str(paths.IMAGE_SOURCE / "entrypoint"), "dags"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert done.stdout.startswith("missing.py:4: ModuleNotFoundError: No module named 'nosuchpackage': ")


def test_the_local_deployment_of_a_broken_dag_file_is_refused(tmp_path: Path) -> None:
    from local.stack import release

    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "missing.py").write_text(HEAD + BROKEN["missing.py"][0])
    with pytest.raises(CommandError, match=r"nothing was deployed(.|\n)*missing.py:4: "):
        release.refuse_broken_dags(tmp_path)


@pytest.mark.slow
def test_the_tests_beside_the_dag_files_run_a_dag_and_their_failure_counts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "queue.py").write_text("raise ImportError('not the standard library')\n")
    (tmp_path / "well.py").write_text(HEAD + GOOD.format(dag_id="well"))
    tests = tmp_path / "tests"
    tests.mkdir()
    test = tests / "test_well.py"
    test.write_text(
        "import pytest\nimport well\n\n\n"
        "def test_a_run():\n    assert well.made.test().state == 'success'\n\n\n"
        "def test_packages():\n    with pytest.raises(ImportError):\n        import moto\n"
    )
    assert main([str(tmp_path)]) == 0
    assert "2 passed" in capfd.readouterr().out
    test.write_text("import pytest\n\n\ndef test_a_run():\n    pytest.fail('as it must')\n")
    assert main([str(tmp_path), "--json"]) == 1
    assert '"tests_exit_code": 1' in capfd.readouterr().out
    assert own_tests.has_tests(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"queue.py", "well.py", "tests", "test_well.py"}


@pytest.mark.slow
def test_two_hundred_files_take_seconds(tmp_path: Path) -> None:
    for number in range(MANY):
        tasks = "".join(f'    EmptyOperator(task_id="task_{task}")\n' for task in range(10))
        (tmp_path / f"made_{number}.py").write_text(f'{HEAD}with DAG("made_{number}", schedule=None):\n{tasks}')
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = check.check(tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(f"{MANY} DAG files: {cpu_s:.1f} s of processor time, {report.record['seconds']} s\n")
    assert (len(report.record["dags"]), report.faults) == (MANY, [])
    assert cpu_s < MANY_WITHIN_CPU_S
