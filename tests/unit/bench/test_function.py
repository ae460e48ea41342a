"""What the benchmark of the autoscaler's function makes of its measurements."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.micro.function.figures import Batch, Cold, Measurements, SceneFigures, most_calls, verdicts
from bench.micro.function.package import Package
from bench.micro.function.report import Report
from bench.micro.function.scenes import MOST_MEMBERS, MOST_QUEUED, Scene, changing, steady
from bench.report.tables import BEGIN, END, Verdict

STEADY = steady(queued=MOST_QUEUED, members=MOST_MEMBERS)
SHORT = steady(queued=0, members=MOST_MEMBERS)
CHANGING = changing(queued=MOST_QUEUED, members=MOST_MEMBERS)
COLD = Cold(import_ms=300.0, import_cpu_ms=290.0, wiring_ms=50.0, first_tick_ms=60.0)
BATCH = Batch(
    own_ms=[20.0, 21.0, 22.0],
    cpu_ms=[18.0, 18.0, 18.0],
    aws_ms=[5.0, 5.0, 5.0],
    calls=[["DescribeServices"]] * 3,
    commands=[{"get": 1}] * 3,
    calibration_ms=[7.0],
    peak_bytes=70_000_000,
)


def looks(scene: Scene = STEADY, *batches: Batch) -> SceneFigures:
    return SceneFigures(scene=scene, batches=batches or (BATCH,))


def judged(*all_looks: SceneFigures, cold: Cold = COLD, package_bytes: int = 12_000_000) -> dict[str, Verdict]:
    found = verdicts(cold=[[cold]], scenes=all_looks or (looks(),), package_bytes=package_bytes)
    return {verdict.what: verdict for verdict in found}


def exceeded(by_what: dict[str, Verdict]) -> list[str]:
    return [what for what, verdict in by_what.items() if not verdict.holds]


def test_a_figure_is_the_best_rounds_median() -> None:
    busy = replace(BATCH, own_ms=[20.0, 90.0, 95.0])
    assert looks(STEADY, busy, BATCH).own_ms == 21.0


def test_the_slowest_looks_count_of_all_rounds() -> None:
    busy = replace(BATCH, own_ms=[90.0] * 3)
    assert looks(STEADY, busy, BATCH).own_p95_ms > 80.0


def test_the_ratio_holds_looks_against_the_fixed_work_of_the_same_round() -> None:
    twice_as_slow = replace(BATCH, own_ms=[42.0] * 3, calibration_ms=[14.0])
    assert looks(STEADY, twice_as_slow).ratio == looks(STEADY, BATCH).ratio == 3.0


def test_the_look_with_most_calls_counts() -> None:
    once = replace(BATCH, calls=[["DescribeServices"], ["DescribeServices", "UpdateService"]])
    assert looks(STEADY, BATCH, once).calls == ["DescribeServices", "UpdateService"]


def test_every_limit_holds_for_what_is_within_it() -> None:
    assert exceeded(judged(looks(), looks(SHORT), *map(looks, CHANGING))) == []


@pytest.mark.parametrize(
    ("scene", "batch", "what"),
    [
        (STEADY, replace(BATCH, own_ms=[50.1] * 3), "look: nothing changes"),
        (CHANGING[0], replace(BATCH, own_ms=[50.1] * 3), "look: half drain"),
        (STEADY, replace(BATCH, calls=[["DescribeServices"] * 2]), "AWS calls: nothing changes"),
        (STEADY, replace(BATCH, calls=[["DescribeTasks"]]), "of these, not to describe services"),
        # 2 + 2 x ceil(500 / 100) = 12
        (CHANGING[0], replace(BATCH, calls=[["UpdateService"] * 13]), "AWS calls: half drain"),
        (SHORT, replace(BATCH, commands=[{"get": 2}]), "Redis commands that longer queues add"),
        (STEADY, replace(BATCH, peak_bytes=128_000_001), "peak memory"),
    ],
)
def test_what_is_beyond_a_limit_is_named(scene: Scene, batch: Batch, what: str) -> None:
    others = [looks(each) for each in (STEADY, SHORT) if each != scene]
    assert exceeded(judged(looks(scene, batch), *others)) == [what]


def test_a_slow_import_and_a_large_package_are_named() -> None:
    slow = judged(cold=replace(COLD, import_ms=400.1), package_bytes=20_000_001)
    assert exceeded(slow) == ["cold import", "package, unzipped"]


def test_the_limits_of_time_are_for_the_largest_fleet() -> None:
    small = steady(queued=MOST_QUEUED, members=1)
    assert exceeded(judged(looks(), looks(small, replace(BATCH, own_ms=[99.0] * 3)))) == []


@pytest.mark.parametrize(("members", "calls"), [(1, 4), (100, 4), (101, 6), (500, 12)])
def test_the_calls_that_a_look_may_make(members: int, calls: int) -> None:
    assert most_calls(members) == calls  # 2 + 2 x ceil(members / 100)


def test_a_look_at_something_else_than_the_scene_is_a_mistake() -> None:
    record = {"queued": MOST_QUEUED, "desired": 500, "drain": [], "recall": [], "malformed": 0}
    assert STEADY.mismatches(record) == []
    assert STEADY.mismatches({**record, "malformed": 1, "drain": ["a"]}) == [
        "nothing changes: drain is 1, not 0",
        "nothing changes: malformed is 1, not 0",
    ]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "module.py").write_bytes(b"x" * 10)
    package = Package(
        python=Path("python"), version="3.12", is_lambdas_python=True, folder=folder, libraries=tmp_path / "libraries"
    )
    measured = Measurements(scenes=[looks()], cold=[[COLD]])
    return Report(package=package, measured=measured, verdicts=list(judged().values()), load=(0.5, 1.5))


def test_the_record_has_every_look_and_the_verdicts(report: Report, tmp_path: Path) -> None:
    report.write_json(tmp_path / "new" / "bench.json")
    record = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert record["package_bytes"] == 10
    assert record["looks"][0]["own_ms_of_looks"] == [[20.0, 21.0, 22.0]]
    assert all(verdict["holds"] for verdict in record["limits"])


def test_the_documentation_keeps_what_is_around_the_figures(report: Report, tmp_path: Path) -> None:
    docs = tmp_path / "docs.md"
    docs.write_text(f"# Title\n\n{BEGIN}\nold figures\n{END}\n\nAfterwards.\n")
    report.write_docs(docs)
    text = docs.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n\nMeasured with Python 3.12 (Lambda's version), ")
    assert "load average 0.5 before, 1.5 after." in text
    assert "| nothing changes | 1,000,000 | 500 | 21.0 |" in text
    assert "old figures" not in text
    assert text.endswith(f"{END}\n\nAfterwards.\n")


def test_documentation_without_the_marks_is_left_alone(report: Report, tmp_path: Path) -> None:
    docs = tmp_path / "docs.md"
    docs.write_text("# Title\n")
    with pytest.raises(ValueError, match="marks"):
        report.write_docs(docs)
    assert docs.read_text() == "# Title\n"
