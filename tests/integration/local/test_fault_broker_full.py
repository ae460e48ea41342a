"""The fault broker-full counts what a real Redis refuses."""

import pytest
import redis

from local.scenarios.faults.failures import refused_calls
from tests.support.servers import RedisServer


def test_messages_and_records_that_a_full_redis_refuses_are_counted(redis_server: RedisServer) -> None:
    client = redis_server.client
    before = refused_calls(client)
    client.config_set("maxmemory", 1)
    try:
        for _ in range(2):
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.lpush("default", "message")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.zadd("unacked_index", {"tag": 1})
    finally:
        client.config_set("maxmemory", 0)
    after = refused_calls(client)
    assert {name: after[name] - before[name] for name in after} == {"lpush": 2, "zadd": 1}
