"""A report on Airflow's work, with something in each list."""

from typing import Any

from fleet.work import BrokenFile, FailedRun, LateDag, ParsedBundle, SlowFile, WorkReport


def a_report(**changes: Any) -> WorkReport:
    given: dict[str, Any] = {
        "at": 1_800_000_000.0,
        "window_s": 900.0,
        "task_failures": 3,
        "run_failures": 1,
        "run_successes": 40,
        "failed_runs": (FailedRun(dag="sales", run="scheduled__2026-12-01T06:00:00+00:00", task="load", at=1.79e9),),
        "late": 1,
        "late_dags": (LateDag(dag="stock", missed=3, expected=2),),
        "import_errors": 1,
        "broken_files": (BrokenFile(bundle="dags", file="broken.py", error="ModuleNotFoundError"),),
        "delay_s": 1.25,
        "slowest": (SlowFile(bundle="dags", file="slow.py", seconds=4.5),),
        "bundles": (ParsedBundle(name="dags", age_s=12.0),),
        "triggers": 10,
        "capacity": 1000,
        "silent": ("triggerer",),
    }
    return WorkReport(**{**given, **changes})


NOTHING_WRONG: dict[str, Any] = {
    **dict.fromkeys(("task_failures", "run_failures", "late", "import_errors"), 0),
    **dict.fromkeys(("failed_runs", "late_dags", "broken_files", "silent"), ()),
}
