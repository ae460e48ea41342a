"""How long a worker holds messages after the ends of their tasks: a real Redis, messages as kombu stores them."""

import json
import time

import pytest

from bench.tasks.held_slots import HeldSlots, held_slots
from bench.tasks.runs import TaskTimes
from project.errors import CommandError
from project.waiting import wait_until
from tests.support.servers import RedisServer

KEY = "unacked:bench"
LONGER_S = 0.3


def take(server: RedisServer, *ids: str) -> None:
    for each in ids:
        message = {"body": "a token", "headers": {"id": each}, "properties": {}}
        server.client.hset(KEY, f"tag-{each}", json.dumps([message, "", "default"]))


def wait_for(slots: HeldSlots, count: int) -> None:
    wait_until(lambda: slots.count == count, what="the next check", timeout_s=30, every_s=0.01)


def ended(message_id: str, at: float) -> TaskTimes:
    return TaskTimes(started_at=at - 1, ended_at=at, message_id=message_id, retries=0)


def test_a_slot_is_held_from_the_tasks_end_until_its_message_is_acknowledged(redis_server: RedisServer) -> None:
    with held_slots(redis_server.client, KEY) as slots:
        take(redis_server, "one", "two")
        wait_for(slots, 2)
        now = time.time()
        redis_server.client.hdel(KEY, "tag-one")
        wait_for(slots, 1)
        time.sleep(LONGER_S)
        redis_server.client.hdel(KEY, "tag-two")
        slots.wait_until_empty()
    one, two = slots.after_end_s([ended("one", now - 0.25), ended("two", now - 0.25)])
    assert one >= 0.25
    assert two >= one + LONGER_S


def test_what_was_never_seen_is_no_slot_that_was_free_at_once(redis_server: RedisServer) -> None:
    with held_slots(redis_server.client, KEY) as slots:
        take(redis_server, "one")
        wait_for(slots, 1)
        redis_server.client.hdel(KEY, "tag-one")
        slots.wait_until_empty()
    now = time.time()
    assert len(slots.after_end_s([ended("one", now), ended("unseen", now)])) == 1
    with pytest.raises(CommandError, match="no message"):
        slots.after_end_s([ended("unseen", now)])


def test_messages_that_stay_are_an_error(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.tasks.held_slots.EMPTY_WITHIN_S", 0.2)
    with held_slots(redis_server.client, KEY) as slots:
        take(redis_server, "one")
        with pytest.raises(CommandError, match="acknowledgement of all messages"):
            slots.wait_until_empty()
    redis_server.client.delete(KEY)
