"""Parsing many JSON texts at once."""

import pytest

from fleet.validation import NO_JSON, loads_each


def test_texts_are_parsed_in_their_order() -> None:
    assert loads_each(["1", b'{"a": 2}', None, "[3]"]) == [1, {"a": 2}, None, [3]]


@pytest.mark.parametrize("bad", ["", "{", "1,2", "1]", b"\xff", "[" * 100_000])
def test_a_text_that_is_not_json_yields_no_json_and_spoils_no_other(bad: str | bytes) -> None:
    assert loads_each(["1", bad, None, "2"]) == [1, NO_JSON, None, 2]
