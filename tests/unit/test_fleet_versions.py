"""Unit tests of the hash by which containers compare their DAG files."""

import os
import time
from pathlib import Path

import pytest

from fleet.versions import code_folders, content_hash


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    (folder / "team").mkdir(parents=True)
    (folder / "a.py").write_text("a")
    (folder / "team" / "b.sql").write_text("b")
    return folder


def hashed(folder: Path) -> str:
    return content_hash({"dags": folder})


def test_the_same_files_have_the_same_hash_on_another_host(dags: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    (other / "team").mkdir(parents=True)
    (other / "team" / "b.sql").write_text("b")
    (other / "a.py").write_text("a")
    os.utime(other / "a.py", (0, 0))
    (other / "a.py").chmod(0o600)
    assert hashed(other) == hashed(dags)


def test_what_python_and_git_leave_behind_does_not_count(dags: Path) -> None:
    before = hashed(dags)
    for name in ("__pycache__/a.cpython-311.pyc", "b.pyc", "team/.git/HEAD"):
        (dags / name).parent.mkdir(exist_ok=True)
        (dags / name).write_text("x")
    assert hashed(dags) == before


@pytest.mark.parametrize("name", ["a.py", "team/b.sql", "new.py", ".airflowignore"])
def test_every_other_file_counts(dags: Path, name: str) -> None:
    before = hashed(dags)
    (dags / name).write_text("changed")
    assert hashed(dags) != before


def test_a_files_name_counts(dags: Path) -> None:
    before = hashed(dags)
    (dags / "a.py").rename(dags / "c.py")
    assert hashed(dags) != before


def test_text_that_moves_from_one_file_to_the_next_changes_the_hash(tmp_path: Path) -> None:
    for folder, texts in (("one", ("ab", "c")), ("two", ("a", "bc"))):
        (tmp_path / folder).mkdir()
        for name, text in zip(("x", "y"), texts, strict=True):
            (tmp_path / folder / name).write_text(text)
    assert hashed(tmp_path / "one") != hashed(tmp_path / "two")


def test_a_plugin_is_not_a_dag(dags: Path) -> None:
    assert content_hash({"plugins": dags}) != content_hash({"dags": dags})


def test_a_missing_folder_is_an_empty_one(dags: Path, tmp_path: Path) -> None:
    assert content_hash({"dags": dags, "plugins": tmp_path / "none"}) == hashed(dags)


def test_a_linked_folder_counts_and_a_loop_ends(dags: Path, tmp_path: Path) -> None:
    before = hashed(dags)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "c.py").write_text("c")
    (dags / "shared").symlink_to(shared)
    (dags / "loop").symlink_to(dags)
    (dags / "dangling").symlink_to(tmp_path / "none")
    assert hashed(dags) != before


def test_two_thousand_files_take_at_most_a_second_of_work(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.py").write_bytes(b"x" * 4000)
    started = time.process_time()
    hashed(tmp_path)
    assert time.process_time() - started <= 1.0


@pytest.mark.parametrize(
    ("environment", "dags", "plugins"),
    [
        ({"AIRFLOW_HOME": "/h"}, "/h/dags", "/h/plugins"),
        ({"AIRFLOW_HOME": "/h", "AIRFLOW__CORE__DAGS_FOLDER": "/d"}, "/d", "/h/plugins"),
        ({"AIRFLOW_HOME": "/h", "AIRFLOW__CORE__PLUGINS_FOLDER": "/p"}, "/h/dags", "/p"),
    ],
)
def test_code_is_where_airflow_looks_for_it(environment: dict[str, str], dags: str, plugins: str) -> None:
    assert code_folders(environment) == {"dags": Path(dags), "plugins": Path(plugins)}
