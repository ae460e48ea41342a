#!/usr/bin/env python3
"""Change the scaling decision and the registry's parsers in small steps, and count what a test notices.

mutmut makes the changes (mutants) and runs the tests of each. It runs in `.local/mutation`, on a copy in which the
functions' packages stand beside `fleet`, because it finds a module by its path. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGE = ROOT / ".local" / "mutation"
MUTMUT = ROOT / ".venv-mutation" / "bin" / "mutmut"
LIMIT_S = 1800
PROCESSES = 2
MUTATED = ("autoscaler/decide.py", "fleet/member.py")
# What the tests import, flat.
COPIED = (
    *("bench", "cfn", "fleet", "local", "ops", "project", "stack", "template_gen.py", "template.yaml"),
    *("functions/autoscaler", "functions/shared"),
    *(f"airflow_image/{name}" for name in ("agent", "dag_bundles", "machines", "oidc", "roles", "telemetry")),
)
TESTS = ("tests/unit/autoscaler", "tests/unit/fleet/test_registry.py", "tests/unit/fleet/test_validation.py")
# Random tests are left out: their verdict on a mutant differs from run to run, and each survivor would wait for all of
# their examples. So the score is that of the tests with fixed examples.
RANDOM = ("test_decide_properties.py", "test_decide_asleep.py", "test_racing.py")
CONFIG = """\
[tool.pytest.ini_options]
pythonpath = ["."]
addopts = "--import-mode=importlib -p no:cacheprovider"
markers = ["slow: left out"]
[tool.mutmut]
source_paths = ["autoscaler", "fleet"]
only_mutate = {mutated}
also_copy = {copied}
pytest_add_cli_args = ["-m", "not slow"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""
RESULT = re.compile(r"\s*(?P<module>[\w.]+)\.(?:x_|xǁ)\S*__mutmut_\d+: (?P<state>[a-z ]+)")
KILLED, NOT_TRIED = ("killed", "timeout", "segfault"), "not checked"


def stage(root: Path, folder: Path) -> None:
    """Copy what is mutated and what its tests need into the emptied folder, with mutmut's settings."""
    shutil.rmtree(folder, ignore_errors=True)
    without = shutil.ignore_patterns("__pycache__", *RANDOM)
    for name in (*COPIED, "tests/conftest.py", "tests/support", "tests/unit/autoscaler", "tests/unit/fleet"):
        source = root / name
        target = folder / (name if name.startswith("tests/") else source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=without)
        else:
            shutil.copy2(source, target)
    copied = [Path(name).name for name in COPIED if Path(name).name not in ("autoscaler", "fleet")]
    values = {"mutated": list(MUTATED), "copied": copied, "tests": list(TESTS)}
    (folder / "pyproject.toml").write_text(CONFIG.format(**values), encoding="utf-8")


def counted(lines: Iterable[str]) -> dict[str, Counter[str]]:
    """Return how many mutants of each module ended in each state, from the lines of `mutmut results --all true`."""
    found: dict[str, Counter[str]] = {}
    for line in lines:
        if result := RESULT.fullmatch(line.rstrip()):
            found.setdefault(result["module"], Counter())[result["state"]] += 1
    return found


def score(states: Mapping[str, int]) -> float | None:
    """Return the percentage of the tried mutants that a test noticed, or None if none was tried."""
    tried = sum(states.values()) - states.get(NOT_TRIED, 0)
    return 100 * sum(states.get(state, 0) for state in KILLED) / tried if tried else None


def table(found: Mapping[str, Counter[str]]) -> list[str]:
    """Return a line for each module and one for all of them."""
    total: Counter[str] = sum(found.values(), Counter())
    lines = [f"{'module':24}{'mutants':>8}{'noticed':>8}{'survived':>9}{'untested':>9}{'not tried':>10}{'score':>8}"]
    for name, states in (*sorted(found.items()), ("all", total)):
        noticed, percent = sum(states[state] for state in KILLED), score(states)
        figures = f"{states.total():8}{noticed:8}{states['survived']:9}{states['no tests']:9}{states[NOT_TRIED]:10}"
        lines.append(f"{name:24}{figures}{'-' if percent is None else f'{percent:.1f}%':>8}")
    return lines


def main() -> int:
    """Run all mutants, at most for LIMIT_S. Return 1 when the tests fail without a mutant, or when none was tried."""
    stage(ROOT, STAGE)
    (packages,) = (ROOT / ".venv" / "lib").glob("python3*/site-packages")
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    run = subprocess.Popen(
        [str(MUTMUT), "run", "--max-children", str(PROCESSES)],
        cwd=STAGE,
        env=environment,
        stdout=(log := (STAGE / "log").open("w")),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        run.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"mutation: stopped after {LIMIT_S // 60} minutes: the rest was not tried\n")
    finally:
        log.close()
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    results = subprocess.run(
        [str(MUTMUT), "results", "--all", "true"],
        cwd=STAGE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = results.stdout.splitlines()
    found = counted(lines)
    if score(sum(found.values(), Counter())) is None:
        sys.stderr.write(f"mutation: no mutant was tried, see {STAGE.relative_to(ROOT)}/log\n")
        return 1
    survivors = [line.strip() for line in lines if line.endswith((": survived", ": no tests"))]
    print("\n".join([*survivors, *table(found)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
