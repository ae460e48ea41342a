"""Every attack of a hostile DAG on a real local stack is refused, or has no effect beyond its own task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.mallory.expected import ALLOWED, TODAY, TRUE_AS_ROOT
from tests.support.staged import stage

DAGS = Path(__file__).parent / "dags"
MODULES = ("processes", "files", "broker", "database", "api", "cloud")
STAGE_TIMEOUT_S = 900

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


def registered() -> list[str]:
    """Return the names of all attacks, as the DAG's own modules register them; this needs no Airflow."""
    code = f"import {', '.join(f'mallory_attacks.{module}' for module in MODULES)}\n"
    code += "from mallory_attacks.attack import ATTACKS\nprint(*ATTACKS)"
    done = subprocess.run([sys.executable, "-c", code], cwd=DAGS, capture_output=True, text=True, check=True)
    return done.stdout.split()


NAMES = registered()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("mallory")
    staged = stage("tests.acceptance.mallory.stage", folder, timeout_s=STAGE_TIMEOUT_S)
    found: dict[str, Any] = staged["attacks"]
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason=TODAY[name], strict=True)) if name in TODAY else name
        for name in NAMES
    ],
)
def test_an_attack_has_no_effect_beyond_its_own_task(name: str, results: dict[str, Any]) -> None:
    assert name in results, "its module's task ended before it"
    result = results[name]
    if result["uid"] == 0 and not name.startswith(TRUE_AS_ROOT):
        pytest.skip("CONTAINERS RUN AS ROOT HERE, which can do what no user on Fargate can: this attack says nothing")
    assert result["outcome"] == ("succeeded" if name in ALLOWED else "refused"), result["evidence"]


def test_the_expectations_name_only_attacks_that_exist() -> None:
    assert ({*ALLOWED, *TODAY} - set(NAMES)) == set()
    assert [prefix for prefix in TRUE_AS_ROOT if not any(name.startswith(prefix) for name in NAMES)] == []
    assert not ALLOWED.keys() & TODAY.keys()
