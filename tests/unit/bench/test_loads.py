"""Files that are read as loads, and files that are refused."""

import gzip
from pathlib import Path

import pytest

from bench.loads.cron_load import cron_load
from bench.loads.load import LoadError, load_of, read_load
from bench.report.one_load import main

HEAD = "task_id,queue,queued_dttm,start_date,end_date\n"
EXPORT = (
    HEAD + "a,default,2026-01-01T00:00:00+00:00,2026-01-01T00:00:05+00:00,2026-01-01T00:01:05+00:00\n"
    "b,big,2026-01-01T00:00:00+00:00,2026-01-01T00:00:05+00:00,2026-01-01T00:01:05+00:00\n"
    "c,default,2026-01-01T00:00:30+00:00,2026-01-01T00:00:31+00:00,2026-01-01T00:00:33.5+00:00\n"
    "d,default,2026-01-01T00:00:40+00:00,,\n"
)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "x.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_an_export_of_airflows_task_instances_is_a_load(tmp_path: Path) -> None:
    load = read_load(written(tmp_path, EXPORT), queue="default")
    assert (load.arrivals, load.durations) == ([0.0, 30.0], [60.0, 2.5])


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    # The format of psql. The second row has a zone of two hours.
    rows = "a,q,2026-01-01 00:00:00,2026-01-01 00:00:05,2026-01-01 00:00:06\n"
    rows += "b,q,2026-01-01 02:00:10+02,2026-01-01 02:00:10+02,2026-01-01 02:00:12+02\n"
    load = read_load(written(tmp_path, HEAD + rows))
    assert (load.arrivals, load.durations) == ([0.0, 10.0], [1.0, 2.0])


def test_a_gzipped_trace_is_a_load(tmp_path: Path) -> None:
    load = read_load(written(tmp_path, gzip.compress(b"arrival_s,duration_s\n7,1\n5,2\n")))
    assert (load.name, load.arrivals, load.durations) == ("x", [0.0, 2.0], [2.0, 1.0])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "x.csv is empty"),
        ("arrival_s,duration_s\n", "x has no task"),
        (HEAD + "d,default,2026-01-01T00:00:40+00:00,,\n", "x has no task"),
        (
            "a,b\n1,2\n",
            "x.csv has neither the columns arrival_s and duration_s nor these of Airflow's",
        ),
        (HEAD.replace("end_date", "x"), "of Airflow's task_instance: end_date"),
        ("arrival_s,duration_s\n0,1\n1,one\n", "x.csv, line 3: duration_s is 'one', not a number"),
        ("arrival_s,duration_s\n0\n", "x.csv, line 2: duration_s is None, not a number"),
        ("arrival_s,duration_s\n0,nan\n", "x.csv, line 2: duration_s is 'nan', not a number"),
        ("arrival_s,duration_s\n0,-1\n", "x has a negative duration"),
        (HEAD + "a,q,soon,2026-01-01,2026-01-01\n", "x.csv, line 2: queued_dttm is 'soon', not a time"),
        (HEAD + "a,q,2026-01-01,2026-01-02,2026-01-01\n", "x.csv, line 2: end_date is before start_date"),
        (b"\x1f\x8bnothing", "x.csv is neither text nor gzipped text"),
        (b"\xff\xfe\x00", "x.csv is neither text nor gzipped text"),
    ],
)
def test_an_invalid_load_is_refused_in_one_line(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(LoadError) as refused:
        read_load(written(tmp_path, text))
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_queue_cannot_be_selected_without_its_column(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="has no column queue"):
        read_load(written(tmp_path, "queued_dttm,start_date,end_date\n"), queue="default")


@pytest.mark.parametrize("name", ["missing.csv", "empty.csv"])
def test_the_command_says_in_one_line_what_is_wrong_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty.csv").touch()
    assert main(["--trace", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line


def test_a_load_is_split_in_the_middle_of_its_time() -> None:
    first, second = load_of("x", [(0, 1), (49, 2), (50, 3), (51, 4), (100, 5)]).halves()
    assert (first.name, first.arrivals, first.durations) == ("x, first half", [0, 49, 50], [1, 2, 3])
    assert (second.name, second.arrivals, second.durations) == ("x, second half", [0, 49], [4, 5])


def test_a_load_is_not_split_where_a_half_would_be_empty_or_tasks_belong_together() -> None:
    with pytest.raises(LoadError, match="x, second half has no tasks"):
        load_of("x", [(0, 1)]).halves()
    with pytest.raises(LoadError, match="cron has stages"):
        cron_load(days=1).halves()
