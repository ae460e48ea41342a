"""How a task ended that did not end by itself: the record, and what is not believed."""

import json
from typing import Any

import pytest

from fleet.ends import FIELDS, MEMORY, MOST_CHARACTERS, End, field_of, parse_end

ID = "01890000-0000-7000-8000-000000000001"
AN_END = End(instance=ID, try_number=2, t=1.8e9, how=MEMORY, worker="abc/worker", held=3, limit=4)


def record(**changes: Any) -> str:
    return json.dumps({**json.loads(AN_END.to_json()), **changes})


def test_a_record_reads_back_as_the_end_that_was_written() -> None:
    assert parse_end(AN_END.to_json(), instance=ID) == AN_END


def test_another_tries_record_of_the_same_field_is_none_of_this_one() -> None:
    assert parse_end(record(instance="another"), instance=ID) is None


def test_texts_are_cut_before_they_are_stored() -> None:
    long = End(instance=ID, try_number=1, t=1.0, how=MEMORY, worker="w" * 5000, error="e" * 5000)
    found = parse_end(long.to_json(), instance=ID)
    assert found is not None
    assert (len(found.worker), len(found.error)) == (MOST_CHARACTERS, MOST_CHARACTERS)


def test_a_pool_has_a_bounded_number_of_fields() -> None:
    fields = {field_of(f"task {number}\udc80") for number in range(20 * FIELDS)}
    assert len(fields) == FIELDS


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(None, id="no record"),
        pytest.param("", id="no text"),
        pytest.param("[]", id="no object"),
        pytest.param("[" * 100_000, id="nested without end"),
        pytest.param(record(version=2), id="a later version"),
        pytest.param(record(how="well"), id="another way to end"),
        pytest.param(record(how=["memory"]), id="ways to end"),
        pytest.param(record(try_number=-1), id="a try before the first"),
        pytest.param(record(try_number=True), id="a truth for a try"),
        pytest.param(record(t="now"), id="a word for a time"),
        pytest.param(record(worker=None), id="no worker"),
        pytest.param(record(error="x" * 101), id="a long error"),
        pytest.param(record(held=-1), id="less than no memory"),
        pytest.param(record(limit=2**60), id="more memory than there is"),
    ],
)
def test_what_is_no_record_says_nothing(raw: str | None) -> None:
    assert parse_end(raw, instance=ID) is None
