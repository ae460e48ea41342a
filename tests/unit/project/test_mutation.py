"""The mutation test's stage holds what is mutated and its tests, and its table counts what mutmut says."""

from collections import Counter
from pathlib import Path

from tools import mutation

ROOT = Path(__file__).parents[3]
SAID = """\
    autoscaler.decide.x_decide__mutmut_1: killed
    autoscaler.decide.x_decide__mutmut_2: survived
    autoscaler.decide.x_decide__mutmut_10: timeout
    fleet.registry.xǁRegistryǁmembers__mutmut_1: no tests
    fleet.registry.x_parse__mutmut_3: not checked
    fleet.registry.x_parse__mutmut_4: suspicious
a line of something else: killed
""".splitlines()


def test_what_is_mutated_and_its_tests_exist() -> None:
    files = [name if name.startswith("fleet/") else f"functions/{name}" for name in mutation.MUTATED]
    assert [name for name in (*files, *mutation.COPIED, *mutation.TESTS) if not (ROOT / name).exists()] == []
    assert [name for name in mutation.RANDOM if not list((ROOT / "tests" / "unit").rglob(name))] == []


def test_the_stage_holds_the_packages_flat_and_no_random_tests(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "old").write_text("")
    mutation.stage(ROOT, tmp_path / "stage")
    held = [*mutation.MUTATED, "shared", "agent", "tests/support", "tests/unit/autoscaler/test_decide.py"]
    assert [name for name in held if not (tmp_path / "stage" / name).exists()] == []
    assert not (tmp_path / "stage" / "old").exists()
    assert [path for name in mutation.RANDOM for path in (tmp_path / "stage").rglob(name)] == []


def test_mutants_are_counted_by_module_and_state() -> None:
    assert mutation.counted(SAID) == {
        "autoscaler.decide": Counter(killed=1, survived=1, timeout=1),
        "fleet.registry": Counter({"no tests": 1, "not checked": 1, "suspicious": 1}),
    }


def test_the_score_is_of_the_tried_mutants_and_none_without_one() -> None:
    found = mutation.counted(SAID)
    assert mutation.score(found["autoscaler.decide"]) == 100 * 2 / 3
    assert mutation.score(found["fleet.registry"]) == 0.0
    assert mutation.score(Counter({"not checked": 5})) is None
    assert mutation.score(Counter()) is None


def test_the_table_has_a_line_for_each_module_and_for_all() -> None:
    lines = [line.split() for line in mutation.table(mutation.counted(SAID))]
    assert lines[1:] == [
        ["autoscaler.decide", "3", "2", "1", "0", "0", "66.7%"],
        ["fleet.registry", "3", "0", "0", "1", "1", "0.0%"],
        ["all", "6", "2", "1", "1", "1", "40.0%"],
    ]
