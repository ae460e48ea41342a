"""The compiled simulator, built once for real, gives the results of the interpreted one."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.loads.cron_load import cron_load
from bench.loads.load import Load, load_of
from bench.policies.catalog import MAKERS, MWAA_TODAY, OURS, OURS_FORECAST, Maker
from bench.policies.experiment import compare
from bench.sim.compiled.build import LOG, PACKAGES, BuildError, build, built, find_compiler
from bench.sim.trial import Setting

ROOT = Path(__file__).parents[3]
POLICIES = (OURS, OURS_FORECAST, "keda", MWAA_TODAY)
HAND_MADE = [(0.0, 30.0), (0.0, 30.0), (5.0, 60.0), (5.0, 0.0), (600.0, 4000.0), (3000.0, 10.0)]

try:
    find_compiler()
    # All tests share one build, which can take some minutes while other tests run.
    pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
except BuildError as missing:
    pytestmark = [pytest.mark.slow, pytest.mark.skip(reason=f"cannot compile here: {missing}")]

COMPILED = """
import sys
from pathlib import Path
from bench.sim.compiled.use import use_compiled
assert use_compiled(cache=Path(sys.argv[1]))
import json
import autoscaler.decide, bench.sim.trial
from tests.integration.bench import test_compiled
print(json.dumps([[autoscaler.decide.__file__, bench.sim.trial.__file__], test_compiled.outcomes()]))
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build into a folder that holds an older build."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "0123456789abcdef" / "bench").mkdir(parents=True)
    build(say=lambda _: None, cache=folder)
    return folder


def outcomes() -> list[object]:
    """Return the outcomes of all policies under two loads with two seeds, from several processes as in the commands."""
    return [
        asdict(outcome)
        for load in (cron_load(days=1), load_of("hand-made", HAND_MADE))
        for result in compare(_makers(load), load=load, setting=Setting(slots=16), seeds=(1, 2), processes=2)
        for outcome in result.outcomes
    ]


def _makers(load: Load) -> dict[str, Maker]:
    return {name: MAKERS[name] for name in POLICIES if name != OURS_FORECAST or load.calendar is not None}


def test_every_outcome_equals_the_interpreted_one(cache: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", COMPILED, cache],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "functions", ROOT / "airflow_image")))},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    modules, compiled = json.loads(said)
    assert [Path(module).relative_to(built(cache=cache)).parts[0] for module in modules] == ["autoscaler", "bench"]
    assert all(module.endswith(".so") for module in modules)
    assert compiled == outcomes()


def test_the_older_build_and_temporary_files_are_removed(cache: Path) -> None:
    target = built(cache=cache)
    assert {path.name for path in cache.iterdir()} == {target.name, LOG, "lock"}
    (shared,) = target.glob("*.so")
    assert shared.name.split(".")[0].endswith("__mypyc")
    assert {path.name for path in target.iterdir()} == {shared.name, *(package.parts[0] for package in PACKAGES)}


def test_a_build_that_is_up_to_date_is_not_repeated(cache: Path) -> None:
    said: list[str] = []
    build(say=said.append, cache=cache)
    assert said == []
