"""Environments are made from their locks, or one line says why not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import setup_env

SCRIPT = Path(setup_env.__file__)


def test_an_unknown_environment_is_named_with_the_known_ones() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "nope"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        "setup: unknown environment nope; there are: dev, airflow, checkov, bench, docs, mutation"
    ]


def test_an_unsupported_python_is_named_with_the_supported_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"^setup: Python 3\.10 is not supported; install Python 3\.11 or 3\.12"):
        setup_env.supported_python()


def test_the_bootstrap_takes_uv_at_the_lock_s_version_and_hashes(tmp_path: Path) -> None:
    lines = setup_env.uv_requirement(tmp_path).read_text().splitlines()
    assert lines[0].startswith("uv==")
    assert len(lines) > 1
    assert all("--hash=sha256:" in line for line in lines[1:])
    assert not lines[-1].endswith("\\")


def a_uv(folder: Path, version: str) -> Path:
    """Put a program into `folder` that calls itself this version of uv."""
    folder.mkdir(parents=True)
    program = folder / "uv"
    program.write_text(f"#!/bin/sh\necho 'uv {version} (0123abcd 2026-11-01)'\n")
    program.chmod(0o755)
    return program


class TestUvOnThePath:
    @pytest.fixture
    def root(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Return a checkout without environments, whose pip would install uv."""
        root = tmp_path / "checkout"
        (root / "requirements").mkdir(parents=True)
        shutil.copy(setup_env.ROOT / "requirements/dev.txt", root / "requirements")
        monkeypatch.setattr(setup_env, "ROOT", root)
        monkeypatch.setattr(setup_env, "pip_commands", lambda *_: iter([["true"]]))
        monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
        return root

    @pytest.mark.usefixtures("root")
    def test_is_taken_at_the_lock_s_version(self, tmp_path: Path) -> None:
        program = a_uv(tmp_path / "path", setup_env.lock_entry()[0].split()[0].removeprefix("uv=="))
        assert setup_env.find_uv(sys.executable) == str(program)

    @pytest.mark.parametrize("version", ["0.0.1", "99.0.0", ""])
    def test_is_left_alone_at_another_version_for_the_project_s_own(
        self, version: str, root: Path, tmp_path: Path
    ) -> None:
        a_uv(tmp_path / "path", version)
        assert setup_env.find_uv(sys.executable) == str(root / ".local/uv/bin/uv")

    def test_is_left_alone_at_another_version_by_the_functions_packages(self, root: Path, tmp_path: Path) -> None:
        a_uv(tmp_path / "path", "99.0.0")
        (root / "functions").mkdir()
        shutil.copy(SCRIPT.parents[1] / "functions" / "Makefile", root / "functions")
        command = [
            "make",
            "-f",
            str(root / "functions" / "Makefile"),
            "build-AutoscalerFunction",
            f"ARTIFACTS_DIR={tmp_path}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "uv is missing: run make setup" in done.stderr


@pytest.mark.parametrize("lock", [lock for _, lock in setup_env.ENVIRONMENTS.values()])
def test_locks_carry_hashes_and_no_registry(lock: str) -> None:
    text = (setup_env.ROOT / lock).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text.replace("git+https://", "")


class TestImagePackages:
    """A running stack uses them, so a new lock must not take them away."""

    @pytest.fixture
    def root(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Return a checkout with one lock, whose uv makes environments without packages."""
        monkeypatch.setattr(setup_env, "ROOT", tmp_path)
        (tmp_path / "airflow_image").mkdir()
        uv = tmp_path / "uv"
        uv.write_text('#!/bin/sh\nif [ "$1" = venv ]; then for last; do :; done; mkdir -p "$last/bin"; fi\n')
        uv.chmod(0o755)
        monkeypatch.setattr(setup_env, "find_uv", lambda _: str(uv))
        return tmp_path

    def renewed(self, root: Path, lock: str) -> Path:
        """Install the packages of this lock; return the folder that a stack would start with."""
        (root / "airflow_image" / "requirements.txt").write_text(lock)
        setup_env.make("airflow", sys.executable)
        return (root / ".venv-airflow").resolve()

    def test_of_the_lock_before_stay_and_older_ones_go(self, root: Path) -> None:
        first, second = self.renewed(root, "a==1"), self.renewed(root, "a==2")
        assert first != second
        assert first.is_dir()
        third = self.renewed(root, "a==3")
        assert (first.exists(), second.exists(), third.exists()) == (False, True, True)

    def test_are_not_installed_again_for_the_same_lock(self, root: Path) -> None:
        first = self.renewed(root, "a==1")
        (first / "here").touch()
        assert (self.renewed(root, "a==1") / "here").exists()

    def test_replace_a_folder_from_before_there_were_links(self, root: Path) -> None:
        (root / ".venv-airflow" / "bin").mkdir(parents=True)
        assert self.renewed(root, "a==1").name.startswith(".venv-airflow-")
        assert (root / ".venv-airflow").is_symlink()

    def test_stay_while_others_are_installed_in_vain(self, root: Path) -> None:
        first = self.renewed(root, "a==1")
        (root / "uv").write_text("#!/bin/sh\necho no such package; exit 1\n")
        with pytest.raises(SystemExit, match="no such package"):
            self.renewed(root, "a==2")
        assert (root / ".venv-airflow").resolve() == first
        assert (first / setup_env.STAMP).exists()
