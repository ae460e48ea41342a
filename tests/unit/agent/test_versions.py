"""Unit tests of the hash by which containers compare their DAG files."""

import os
from pathlib import Path

import pytest

from agent.versions import CodeHash, CodeWatch, code_folders


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    (folder / "team").mkdir(parents=True)
    (folder / "a.py").write_text("a")
    (folder / "team" / "b.sql").write_text("b")
    return folder


def hashed(folder: Path) -> str:
    return CodeHash({"dags": folder}).read()


def test_the_same_files_have_the_same_hash_on_another_host(dags: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    (other / "team").mkdir(parents=True)
    (other / "team" / "b.sql").write_text("b")
    (other / "a.py").write_text("a")
    os.utime(other / "a.py", (0, 0))
    (other / "a.py").chmod(0o600)
    assert hashed(other) == hashed(dags)


def test_files_of_python_and_git_do_not_count(dags: Path) -> None:
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


def test_text_moved_from_one_file_to_the_next_changes_the_hash(tmp_path: Path) -> None:
    for folder, texts in (("one", ("ab", "c")), ("two", ("a", "bc"))):
        (tmp_path / folder).mkdir()
        for name, text in zip(("x", "y"), texts, strict=True):
            (tmp_path / folder / name).write_text(text)
    assert hashed(tmp_path / "one") != hashed(tmp_path / "two")


def test_a_plugin_is_not_a_dag(dags: Path) -> None:
    assert CodeHash({"plugins": dags}).read() != CodeHash({"dags": dags}).read()


def test_a_missing_folder_is_an_empty_one(dags: Path, tmp_path: Path) -> None:
    assert CodeHash({"dags": dags, "plugins": tmp_path / "none"}).read() == hashed(dags)


def test_a_linked_folder_counts_and_a_loop_ends(dags: Path, tmp_path: Path) -> None:
    before = hashed(dags)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "c.py").write_text("c")
    (dags / "shared").symlink_to(shared)
    (dags / "loop").symlink_to(dags)
    (dags / "dangling").symlink_to(tmp_path / "none")
    assert hashed(dags) != before


@pytest.mark.parametrize("change", ["content", "content at the same time", "name", "replaced", "removed"])
def test_a_change_is_seen_at_the_next_reading(dags: Path, change: str) -> None:
    code = CodeHash({"dags": dags})
    file = dags / "a.py"
    before, times = code.read(), file.stat()
    match change:
        case "content":
            file.write_text("b")
        case "content at the same time":  # as copying tools do that keep a file's times
            file.write_text("b")
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        case "name":
            file.rename(dags / "c.py")
        case "replaced":
            (dags / "new").write_text("b")
            (dags / "new").rename(file)
        case "removed":
            file.unlink()
    assert code.read() == hashed(dags) != before


def test_unchanged_files_are_not_read_again(dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = CodeHash({"dags": dags})
    before = code.read()
    monkeypatch.setattr("agent.versions._digest", lambda path: pytest.fail(f"{path} was read"))
    assert code.read() == before


def test_a_folder_that_may_not_be_read_is_not_an_empty_one(dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: object) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(PermissionError):
        hashed(dags)


def test_unreadable_files_give_an_empty_hash_and_one_warning(
    dags: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(path: object) -> None:
        raise PermissionError(path)

    watch = CodeWatch({"AIRFLOW_HOME": str(dags.parent)})
    monkeypatch.setattr("agent.versions.CHECKING_SHARE", 1e9)  # hash each time
    assert watch.dags_hash() == CodeHash(code_folders({"AIRFLOW_HOME": str(dags.parent)})).read()
    monkeypatch.setattr("os.scandir", denied)
    assert [watch.dags_hash(), watch.dags_hash()] == ["", ""]
    assert len(caplog.messages) == 1


def test_hashing_takes_no_more_than_its_share_of_a_processor(dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, readings = [100.0], []

    def read(_: CodeHash) -> str:
        readings.append(now[0])
        return "hash"

    monkeypatch.setattr("agent.versions.CodeHash.read", read)
    monkeypatch.setattr("agent.versions.time.monotonic", lambda: now[0])
    monkeypatch.setattr("agent.versions.time.thread_time", lambda: 0.05 * len(readings))  # 50 ms a reading
    watch = CodeWatch({"AIRFLOW_HOME": str(dags.parent)})
    for _ in range(30):
        watch.dags_hash()
        now[0] += 1
    # 0.05 s / 0.005 = a reading each 10 s
    assert readings == [100.0, 110.0, 120.0]


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
