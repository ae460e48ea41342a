"""What the worker may tell the runner on their control connection."""

import pytest

from agent.runner.protocol import END_TASKS, MAX_START_MESSAGE, Start, start_in, start_message


def test_a_start_is_read_as_it_was_sent() -> None:
    sent = Start(number=2**40, is_task=True, dags_hash="f" * 64)
    message = start_message(sent)
    assert start_in(message) == sent
    assert len(message) < MAX_START_MESSAGE


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b"null", b"1", b'{"number": 1}', b"\xff", END_TASKS])
def test_what_is_no_start_starts_nothing(message: bytes) -> None:
    assert start_in(message) is None
