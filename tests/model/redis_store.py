"""An in-memory Redis with what the fleet uses of it: keys that expire, sorted sets, the lengths of queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import redis

from fleet.registry import GIVE_ORDERS
from tests.model.seams import Fault, Seams

READS = frozenset({"time", "get", "mget", "zrange", "zscan_iter", "llen", "hlen", "scan", "eval", "ping"})


class Store:
    """The server. `up` is False while it is away; `skew` is how far its clock is ahead; a replica refuses writes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.up = True
        self.is_replica = False
        self.skew = 0.0
        self.queues: dict[str, int] = {}
        self._now = now
        self._values: dict[str, tuple[bytes, float | None]] = {}
        self._sets: dict[str, dict[str, float]] = {}

    def clear(self) -> None:
        """Drop the fleet's keys, as a restart without persistence does. Messages are the broker's to lose."""
        self._values.clear()
        self._sets.clear()

    def ping(self) -> bool:
        return True

    def time(self) -> tuple[int, int]:
        now = self._now() + self.skew
        return int(now), int(now % 1 * 1e6)

    def set(self, key: str, value: str, ex: float | None = None) -> bool:
        self._values[key] = (value.encode(), None if ex is None else self._now() + ex)
        return True

    def get(self, key: str) -> bytes | None:
        value, until = self._values.get(key, (None, None))
        return None if until is not None and until <= self._now() else value

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def delete(self, *keys: str) -> int:
        return sum(self._values.pop(key, None) is not None for key in keys)

    def zadd(self, key: str, scores: Mapping[str, float]) -> int:
        self._sets.setdefault(key, {}).update(scores)
        return len(scores)

    def zrem(self, key: str, member: str) -> int:
        return int(self._sets.get(key, {}).pop(member, None) is not None)

    def zremrangebyscore(self, key: str, low: str, high: str) -> int:
        """Only from -inf to an open end or from an open begin to +inf, as the registry asks."""
        assert low.startswith("(") or low == "-inf"
        assert high.startswith("(") or high == "+inf"
        scores, begin, end = self._sets.get(key, {}), float(low.removeprefix("(")), float(high.removeprefix("("))
        old = [member for member, score in scores.items() if begin < score < end]
        for member in old:
            del scores[member]
        return len(old)

    def zrange(self, key: str, _first: int, _last: int, *, withscores: bool) -> list[tuple[bytes, float]]:
        assert withscores
        return [(name.encode(), score) for name, score in self._sets.get(key, {}).items()]

    def zscan_iter(self, key: str, *, match: str, count: int) -> list[tuple[bytes, float]]:
        assert count > 0
        return [(name.encode(), score) for name, score in self._sets.get(key, {}).items() if fnmatchcase(name, match)]

    def llen(self, key: str) -> int:
        return self.queues.get(key, 0)

    def hlen(self, _key: str) -> int:
        return 0  # messages not acknowledged make a metric, no decision

    def scan(self, _cursor: int, **_: Any) -> tuple[int, list[bytes]]:
        return 0, []  # queues of no pool make a metric, too

    def eval(self, script: str, number: int, *arguments: Any) -> list[bytes]:
        if script == GIVE_ORDERS:
            keys, ttl_s, orders = arguments[:number], arguments[number], arguments[number + 1 :]
            for key, order in zip(keys, orders, strict=True):
                self.set(key, order, ex=ttl_s)
            return []
        return [b""] * number  # nor do digests of messages change a decision

    def lpush(self, _key: str, *values: str) -> int:
        return len(values)  # decisions are recorded for people; the model does not read them

    def ltrim(self, _key: str, _first: int, _last: int) -> bool:
        return True

    def hset(self, _key: str, _field: str, _value: str) -> int:
        return 1


class Client:
    """A connection, with the commands of redis-py. One that reads waits with its answer, one that writes before it."""

    def __init__(self, store: Store, seams: Seams) -> None:
        self._store, self._seams = store, seams

    def pipeline(self, **_: bool) -> Pipeline:
        return Pipeline(self)

    def __getattr__(self, command: str) -> Callable[..., Any]:
        return lambda *args, **options: self.run([(command, args, options)])[0]

    def run(self, commands: list[tuple[str, Any, Any]]) -> list[Any]:
        writes = not all(command in READS and GIVE_ORDERS not in args for command, args, _ in commands)
        fault = self._seams.pause("redis write") if writes else Fault.NONE
        if not self._store.up or fault is Fault.FAILS:
            raise redis.ConnectionError("away")
        if writes and self._store.is_replica:
            raise redis.ReadOnlyError("You can't write against a read only replica.")
        answers = [getattr(self._store, command)(*args, **options) for command, args, options in commands]
        if not writes:
            fault = self._seams.pause("redis read")
        if fault is not Fault.NONE:
            raise redis.TimeoutError("no answer")
        return answers


class Pipeline:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._commands: list[tuple[str, Any, Any]] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands = []

    def __getattr__(self, command: str) -> Callable[..., None]:
        return lambda *args, **options: self._commands.append((command, args, options))

    def execute_command(self, command: str, *args: Any) -> None:
        self._commands.append((command.lower(), args, {}))

    def execute(self, **_: bool) -> list[Any]:
        return self._client.run(self._commands)
