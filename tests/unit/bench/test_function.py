"""Figures, limits and report of the benchmark of the autoscaler's function."""

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


def figures(scene: Scene = STEADY, *batches: Batch) -> SceneFigures:
    return SceneFigures(scene=scene, batches=batches or (BATCH,))


def judged(*all_figures: SceneFigures, cold: Cold = COLD, package_bytes: int = 12_000_000) -> dict[str, Verdict]:
    found = verdicts(cold=[[cold]], scenes=all_figures or (figures(),), package_bytes=package_bytes)
    return {verdict.what: verdict for verdict in found}


def exceeded(by_what: dict[str, Verdict]) -> list[str]:
    return [what for what, verdict in by_what.items() if not verdict.holds]


def test_a_figure_is_the_median_of_the_best_round() -> None:
    busy = replace(BATCH, own_ms=[20.0, 90.0, 95.0])
    assert figures(STEADY, busy, BATCH).own_ms == 21.0


def test_the_95th_percentile_includes_the_slowest_ticks_of_all_rounds() -> None:
    busy = replace(BATCH, own_ms=[90.0] * 3)
    assert figures(STEADY, busy, BATCH).own_p95_ms > 80.0


def test_the_ratio_compares_ticks_with_the_fixed_work_of_the_same_round() -> None:
    twice_as_slow = replace(BATCH, own_ms=[42.0] * 3, calibration_ms=[14.0])
    assert figures(STEADY, twice_as_slow).ratio == figures(STEADY, BATCH).ratio == 3.0


def test_the_calls_are_those_of_the_tick_with_most_calls() -> None:
    once = replace(BATCH, calls=[["DescribeServices"], ["DescribeServices", "UpdateService"]])
    assert figures(STEADY, BATCH, once).calls == ["DescribeServices", "UpdateService"]


def test_all_limits_hold_for_figures_within_them() -> None:
    assert exceeded(judged(figures(), figures(SHORT), *map(figures, CHANGING))) == []


@pytest.mark.parametrize(
    ("scene", "batch", "what"),
    [
        (STEADY, replace(BATCH, own_ms=[50.1] * 3), "tick: nothing changes"),
        (CHANGING[0], replace(BATCH, own_ms=[50.1] * 3), "tick: half drain"),
        (STEADY, replace(BATCH, calls=[["DescribeServices"] * 2]), "AWS calls: nothing changes"),
        (STEADY, replace(BATCH, calls=[["DescribeTasks"]]), "of these, other than DescribeServices"),
        # 2 + 2 x ceil(500 / 100) = 12
        (CHANGING[0], replace(BATCH, calls=[["UpdateService"] * 13]), "AWS calls: half drain"),
        (SHORT, replace(BATCH, commands=[{"get": 2}]), "additional Redis commands with longer queues"),
        (STEADY, replace(BATCH, peak_bytes=128_000_001), "peak memory"),
    ],
)
def test_a_verdict_names_the_figure_above_its_limit(scene: Scene, batch: Batch, what: str) -> None:
    others = [figures(each) for each in (STEADY, SHORT) if each != scene]
    assert exceeded(judged(figures(scene, batch), *others)) == [what]


def test_verdicts_name_a_slow_import_and_a_large_package() -> None:
    slow = judged(cold=replace(COLD, import_ms=400.1), package_bytes=20_000_001)
    assert exceeded(slow) == ["cold import", "package, unzipped"]


def test_limits_of_time_apply_to_the_largest_fleet_only() -> None:
    small = steady(queued=MOST_QUEUED, members=1)
    assert exceeded(judged(figures(), figures(small, replace(BATCH, own_ms=[99.0] * 3)))) == []


@pytest.mark.parametrize(("members", "calls"), [(1, 4), (100, 4), (101, 6), (500, 12)])
def test_the_limit_of_calls_grows_with_the_members(members: int, calls: int) -> None:
    assert most_calls(members) == calls  # 2 + 2 x ceil(members / 100)


def test_a_scene_lists_its_differences_from_a_decision() -> None:
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
    measured = Measurements(scenes=[figures()], cold=[[COLD]])
    return Report(package=package, measured=measured, verdicts=list(judged().values()), load=(0.5, 1.5))


def test_the_record_has_every_tick_and_the_verdicts(report: Report, tmp_path: Path) -> None:
    report.write_json(tmp_path / "new" / "bench.json")
    record = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert record["package_bytes"] == 10
    assert record["scenes"][0]["own_ms_of_ticks"] == [[20.0, 21.0, 22.0]]
    assert all(verdict["holds"] for verdict in record["limits"])


def test_the_document_keeps_the_text_around_the_figures(report: Report, tmp_path: Path) -> None:
    docs = tmp_path / "docs.md"
    docs.write_text(f"# Title\n\n{BEGIN}\nold figures\n{END}\n\nAfterwards.\n")
    report.write_docs(docs)
    text = docs.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n\nMeasured with Python 3.12 (Lambda's version), ")
    assert "load average 0.5 before, 1.5 after." in text
    assert "| nothing changes | 1,000,000 | 500 | 21.0 |" in text
    assert "old figures" not in text
    assert text.endswith(f"{END}\n\nAfterwards.\n")


def test_a_document_without_marks_is_not_changed(report: Report, tmp_path: Path) -> None:
    docs = tmp_path / "docs.md"
    docs.write_text("# Title\n")
    with pytest.raises(ValueError, match="marks"):
        report.write_docs(docs)
    assert docs.read_text() == "# Title\n"
