"""What `make dags` reads from a folder, what it refuses, and which bundle it delivers to."""

from pathlib import Path

import pytest

from fleet.dag_versions.manifest import MAX_FILE_BYTES, digest
from fleet.dag_versions.pointer import Entry, Pointer
from ops.dags.__main__ import are_many, choose_bundle, listing, main
from ops.dags.folder import read_folder
from project.errors import CommandError


def test_caches_and_version_control_are_no_part_of_a_version(tmp_path: Path) -> None:
    for path in ("a.py", "team/b.py", "team/q.sql", "__pycache__/a.pyc", ".git/config", "a.pyc", "a.py~", ".venv/x.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert set(read_folder(tmp_path).manifest.files) == {"a.py", "team/b.py", "team/q.sql"}


def test_a_file_is_known_by_content_and_by_its_right_to_be_executed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("A = 1\n")
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "run.sh").chmod(0o755)
    files = read_folder(tmp_path).manifest.files
    assert (files["a.py"].sha256, files["a.py"].size) == (digest(b"A = 1\n"), 6)
    assert [files[name].is_executable for name in ("a.py", "run.sh")] == [False, True]


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("A = 1\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "b.py").symlink_to(tmp_path / "a.py")
    assert read_folder(tmp_path / "dags").manifest.files["b.py"].sha256 == digest(b"A = 1\n")


def _write_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "has no Python file: an upload would remove all DAGs"),
        (lambda root: root.rmdir(), "is no folder"),
        (lambda root: (root / "a.py").symlink_to(root / "nowhere"), "leads nowhere"),
        (lambda root: (root / "linked").symlink_to(root.parent), "a link to a folder"),
        (lambda root: (root / "a\n.py").touch(), "no path below the bundle's folder"),
        (lambda root: _write_large(root / "a.py"), "at most"),
    ],
)
def test_a_folder_that_cannot_be_delivered_is_refused(tmp_path: Path, make: object, reason: str) -> None:
    root = tmp_path / "dags"
    root.mkdir()
    make(root)  # type: ignore[operator]
    with pytest.raises(CommandError, match=reason):
        read_folder(root)


@pytest.mark.parametrize(
    ("parameter", "asked", "found"), [("image,dags", None, "dags"), ("a,b", "b", "b"), ("dags", "dags", "dags")]
)
def test_the_only_bundle_or_the_one_asked_for_is_delivered_to(parameter: str, asked: str | None, found: str) -> None:
    assert choose_bundle(parameter, asked, environment="dev") == found


@pytest.mark.parametrize(
    ("parameter", "asked", "reason"),
    [
        ("image", None, "from its image only"),
        ("image", "image", "from its image only"),
        ("a,b", None, "use BUNDLE=a or BUNDLE=b"),
        ("image,a", "c", "dev has no bundle c: use BUNDLE=a"),
        ("image,a", "image", "dev has no bundle image"),
    ],
)
def test_a_bundle_that_the_environment_does_not_read_is_refused(parameter: str, asked: str | None, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        choose_bundle(parameter, asked, environment="dev")


def test_versions_are_listed_with_the_current_one_marked() -> None:
    entries = (Entry(version="b" * 64, at=60.0, files=3), Entry(version="a" * 64, at=0.0, files=2))
    assert list(listing(Pointer(entries=entries), "dags")) == [
        "* bbbbbbbbbbbb  1970-01-01 00:01:00 UTC  3 files",
        "  aaaaaaaaaaaa  1970-01-01 00:00:00 UTC  2 files",
    ]
    assert list(listing(Pointer(), "dags")) == ["dags: nothing was uploaded yet"]


@pytest.mark.parametrize(("versions", "keep", "are"), [(30, 20, False), (31, 20, True), (3, 2, False), (2, 1, True)])
def test_old_versions_are_removed_from_half_as_many_again_on(versions: int, keep: int, are: bool) -> None:
    assert are_many(versions, keep=keep) is are


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--dags=x", "--version=y"], "give one of them"),
        (["--dags=does-not-exist"], "is no folder"),
        ([], "no local stack is running"),
    ],
)
def test_a_refusal_is_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project.running.find_stack", _none)
    assert main(["--env=local", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("make dags: ")
    assert reason in line


def _none() -> None:
    raise CommandError("no local stack is running in this checkout")
