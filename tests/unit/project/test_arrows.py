"""The rooms' arrows: what may import what, as pyproject.toml's contracts for import-linter say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project.paths import ROOT

ROOMS = ("airflow_image", "bench", "cfn", "fleet", "functions", "local", "ops", "project", "stack")
PYTHON_FILES_ONLY = shutil.ignore_patterns("__pycache__", "authorities", "static", "*.txt")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the rooms below `folder`."""
    path = os.pathsep.join(str(folder / part) for part in ("", "functions", "airflow_image"))
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(
        [*command, "--config", str(folder / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the rooms, for a test to break."""
    folder = tmp_path_factory.mktemp("rooms")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=PYTHON_FILES_ONLY)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_import_follows_the_arrows() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "imported", "broken"),
    [
        ("ops/deployed.py", "local.stack.up", "The rooms' arrows go down"),
        ("fleet/registry.py", "shared.settings", "The rooms' arrows go down"),
        ("airflow_image/agent/worker.py", "shared.aws", "The image imports the contract alone"),
        ("functions/autoscaler/decide.py", "agent.names", "The functions import the contract alone"),
        ("stack/lib/iam.py", "project.paths", "The template's generator imports the contract alone"),
        ("stack/lib/iam.py", "stack.sections.broker", "No folders or modules of one room import each other both ways"),
    ],
)
def test_an_import_against_the_arrows_is_found(checkout: Path, module: str, imported: str, broken: str) -> None:
    source = checkout / module
    before = source.read_text()
    source.write_text(f"{before}\nimport {imported}\n")
    try:
        done = lint_imports(checkout)
    finally:
        source.write_text(before)
    assert done.returncode == 1, done.stdout
    assert f"{broken} BROKEN" in done.stdout
