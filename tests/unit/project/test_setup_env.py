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
    assert done.stderr.splitlines() == ["setup: unknown environment nope; there are: dev, airflow, checkov"]


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


@pytest.mark.parametrize("lock", [lock for _, lock in setup_env.ENVIRONMENTS.values()])
def test_locks_carry_hashes_and_no_registry(lock: str) -> None:
    text = (setup_env.ROOT / lock).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text.replace("git+https://", "")
