"""The report on DAG bundles is read as it was written, and nothing else is."""

import json

import pytest

from fleet.bundles import Bundle, OlderTask, VersionInUse, parse_bundles, to_json

OLDER = OlderTask(dag="d", run="r", task="t", map_index=-1, version="a")
BUNDLE = Bundle(
    name="dags",
    version="b",
    since=5.0,
    in_use=(VersionInUse(version="a", runs=1, tasks=2), VersionInUse(version="b", runs=3, tasks=4)),
    older=(OLDER,),
)
GOOD = json.loads(to_json((BUNDLE,)))[0]


def test_a_report_is_read_as_it_was_written() -> None:
    assert parse_bundles(to_json((BUNDLE,))) == (BUNDLE,)
    assert parse_bundles("[]") == ()


def test_no_report_is_none_and_not_no_bundle() -> None:
    assert parse_bundles(None) is None


def test_tasks_of_other_versions_than_the_current_one_are_older() -> None:
    assert BUNDLE.older_tasks == 2


@pytest.mark.parametrize(
    "record",
    [
        {},
        5,
        [5],
        [{}],
        [{**GOOD, "name": ""}],
        [{**GOOD, "since": -1}],
        [{**GOOD, "version": None}],
        [{**GOOD, "in_use": None}],
        [{**GOOD, "in_use": [{"version": "a", "runs": -1, "tasks": 0}]}],
        [{**GOOD, "older": [{"dag": "d"}]}],
        [{**GOOD, "older": [5]}],
    ],
)
def test_a_malformed_report_is_refused(record: object) -> None:
    with pytest.raises(ValueError, match="report on DAG bundles"):
        parse_bundles(json.dumps(record))
