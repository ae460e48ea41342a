"""Unit tests of the bound on the DAG processor's logs."""

import logging
import os
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from agent.parse_logs import ParseLogs, log_folder

TODAY = date(2026, 3, 1)


def write(folder: Path, name: str, size: int = 1) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*.log")}


def test_the_logs_of_today_and_yesterday_stay(tmp_path: Path) -> None:
    for name in (
        "2026-03-01/dags/a.py.log",
        "2026-02-28/dags/a.py.log",
        "2026-02-27/dags/b/a.py.log",
        "2025-03-01/a.log",
    ):
        write(tmp_path, name)
    ParseLogs(tmp_path).bound(today=TODAY)
    assert sizes(tmp_path) == {"2026-03-01/dags/a.py.log": 1, "2026-02-28/dags/a.py.log": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-02-28", "2026-03-01"]


def test_the_largest_files_are_emptied_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    for name, size in (("small", 10), ("larger", 40), ("large", 60), ("largest", 500)):
        write(tmp_path, f"2026-03-01/dags/{name}.log", size)
    ParseLogs(tmp_path, max_bytes=50).bound(today=TODAY)
    assert {Path(name).stem: size for name, size in sizes(tmp_path).items()} == {
        "small": 10,
        "larger": 40,
        "large": 0,
        "largest": 0,
    }


def test_a_file_that_is_being_written_is_emptied_at_once_and_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, "2026-03-01/a.log", 500)
    with path.open("ab", buffering=0) as file:
        ParseLogs(tmp_path, max_bytes=50).bound(today=TODAY)
        file.write(b"next")
    assert path.read_bytes() == b"next"


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    """Not what lies elsewhere, nor what a link or a pipe of a hostile DAG file leads to."""
    logs, day = tmp_path / "logs", tmp_path / "logs" / "2026-03-01"
    kept = [write(tmp_path, "kept/a.log", 500), write(logs, "dag_id=a/a.log", 500)]
    write(logs, "2026-03-01/dags/a.log", 100)
    (logs / "2026-02-01").symlink_to(tmp_path / "kept")
    (logs / "latest").symlink_to(day)
    (day / "file.log").symlink_to(kept[0])
    (day / "folder").symlink_to(tmp_path / "kept")
    os.mkfifo(day / "pipe.log")
    ParseLogs(logs, max_bytes=50).bound(today=TODAY)
    assert [path.stat().st_size for path in kept] == [500, 500]
    assert (day / "dags" / "a.log").stat().st_size == 0


def test_what_cannot_be_emptied_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel lets no one, not even root, write to a program that runs."""
    path = tmp_path / "2026-03-01" / "a.log"
    path.parent.mkdir()
    shutil.copy(shutil.which("sleep") or "sleep", path)
    logs = ParseLogs(tmp_path, max_bytes=50)
    with caplog.at_level(logging.WARNING), subprocess.Popen([path, "60"]) as running:
        for _ in range(3):
            logs.bound(today=TODAY)
        running.kill()
    assert len(caplog.messages) == 1
    assert "logs of the DAG processor cannot be removed" in caplog.messages[0]


def test_before_the_first_log_there_is_nothing_to_do(tmp_path: Path) -> None:
    ParseLogs(tmp_path / "absent").bound(today=TODAY)


def test_the_folder_is_airflows() -> None:
    assert log_folder({"AIRFLOW_HOME": "/opt/airflow"}) == Path("/opt/airflow/logs/dag_processor")
    own = {"AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": "/var/log/parse"}
    assert log_folder({"AIRFLOW_HOME": "/opt/airflow", **own}) == Path("/var/log/parse")
