"""Loses no message to a broker that is away, refuses writes, or changes its role, and runs none twice.

kombu takes a message with one command and records it as unacknowledged with another. Where the first is granted and the
second refused, the message would exist nowhere, and the error would end the worker. When a connection is lost, kombu
queues the messages of running tasks again, and each would start a second time elsewhere; what ends later can no longer
be acknowledged. So the worker itself holds what it took, over any number of connections, until it has acknowledged it.
What the broker refuses to write meanwhile is written when it accepts it; until then the worker takes nothing more.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from queue import Empty
from typing import Any

import redis
from celery.signals import worker_init
from kombu.transport import redis as transport
from kombu.transport.virtual import base
from kombu.utils.json import dumps

from agent import connections, variables
from agent.admission import admission
from agent.broker import Outage, connect

log = logging.getLogger(__name__)

RENEW_EVERY_S = 60.0
RENEWALS_A_TIMEOUT = 4

_outage = Outage("the broker refuses to note what this worker takes, which takes nothing more until then", log)


class Holdings:
    """The messages that this worker holds, by delivery tag, and what it owes the broker.

    It outlives connections. The event loop takes messages, the pool's threads acknowledge them: every change is one
    operation on a dictionary or a set, which Python does not interrupt.
    """

    def __init__(self) -> None:
        self.messages: dict[Any, Any] = {}
        self.latest: Any = None  # tag of the message that was taken last
        self.index_key = ""  # of the times at which messages were taken
        self.renew_every_s = RENEW_EVERY_S
        self._renewed_at = 0.0
        self.bindings: set[tuple[Any, ...]] = set()  # of queues to exchanges; only publishers read them
        self.unrecorded: dict[Any, Any] = {}  # messages that were taken and are not recorded
        self.returns: dict[Any, Any] = {}  # messages that another worker should take
        self.removals: set[Any] = set()  # tags of messages that are done with

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def owes(self) -> bool:
        """Whether the broker has refused something that is still to be written."""
        return bool(self.bindings or self.unrecorded or self.returns or self.removals)

    def pay(self, channel: Any) -> None:
        """Write what is owed, through this channel, as far as the broker accepts it. Only for the event loop."""
        if not self.owes:
            return
        try:
            self._pay(channel, channel.qos)
        except redis.RedisError as error:
            _begin(error)
        else:
            _outage.end()

    def _pay(self, channel: Any, qos: Any) -> None:
        for binding in self.bindings.copy():
            channel.bind(*binding)
            self.bindings.discard(binding)
        for tag, message in self.unrecorded.copy().items():
            qos.record(message, tag)
            if self.unrecorded.pop(tag, None) is None:
                self.removals.add(tag)  # acknowledged in another thread meanwhile
        for tag, message in self.returns.copy().items():
            qos.give_back(message, tag)
            self.returns.pop(tag, None)
        for tag in self.removals.copy():
            qos.remove(tag)
            self.removals.discard(tag)

    def renew(self) -> None:
        """Date the held messages' records anew when it is time. Raises redis.RedisError.

        Other workers queue a message again when its record is older than the visibility timeout, a day by default.
        """
        now = time.monotonic()
        held = list(self.messages)
        if held and now - self._renewed_at >= self.renew_every_s:
            _client().zadd(self.index_key, dict.fromkeys(held, time.time()), xx=True)
            self._renewed_at = now


holdings = Holdings()


@functools.cache
def _client() -> redis.Redis:
    """Return a client of the worker's own: a channel's ends with its connection."""
    return connect(os.environ[variables.BROKER_URL])


class PatientQoS(transport.QoS):  # type: ignore[misc]  # kombu is not typed
    """kombu's record of unacknowledged messages. A write that is refused becomes a debt instead of an error."""

    @property
    def has_room(self) -> bool:
        """Whether a slot is free, and memory for its task. Messages of earlier connections count, as their tasks do."""
        is_free = not self.prefetch_count or len(holdings) < self.prefetch_count
        return is_free and admission.is_open(held=len(holdings))

    def can_consume(self) -> bool:
        """Return whether to take another message: not while one is not recorded. Remote control goes on."""
        return not self.channel.active_queues or (self.has_room and not holdings.unrecorded)

    def append(self, message: Any, delivery_tag: Any) -> None:
        """Hold a message that was taken, and record it."""
        holdings.messages[delivery_tag] = message
        holdings.latest, holdings.index_key = delivery_tag, self.unacked_index_key
        holdings.renew_every_s = min(RENEW_EVERY_S, self.visibility_timeout / RENEWALS_A_TIMEOUT)
        try:
            self.record(message, delivery_tag)
        except redis.RedisError as error:
            _begin(error)
            holdings.unrecorded[delivery_tag] = message
        base.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: Any) -> None:
        """Remove a message that is done with."""
        holdings.unrecorded.pop(delivery_tag, None)
        try:
            self.remove(delivery_tag)
        except redis.RedisError as error:
            _begin(error)
            holdings.removals.add(delivery_tag)
        self._let_go(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Remove a message, or let another worker take it."""
        message = holdings.messages.get(delivery_tag)
        if not requeue or message is None:
            self.ack(delivery_tag)
            return
        holdings.unrecorded.pop(delivery_tag, None)
        try:
            self.give_back(message, delivery_tag)
        except redis.RedisError as error:
            _begin(error)
            holdings.returns[delivery_tag] = message
        self._let_go(delivery_tag)

    def _let_go(self, delivery_tag: Any) -> None:
        base.QoS.ack(self, delivery_tag)
        holdings.messages.pop(delivery_tag, None)

    def restore_unacked_once(self, *_: Any, **__: Any) -> None:
        """Queue nothing again when a channel closes: the tasks run on, and are acknowledged through another one."""
        self._on_collect.cancel()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Look for messages that were taken too long ago; later, if the broker refuses the lock for it."""
        try:
            super().restore_visible(*args, **kwargs)
        except redis.ResponseError as error:
            log.debug("fleet: the broker refuses a lock: %s", type(error).__name__)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Queue another worker's message again, never one of this worker's own."""
        if (tag.decode() if isinstance(tag, bytes) else tag) not in holdings.messages:
            super().restore_by_tag(tag, client, leftmost)

    def record(self, message: Any, delivery_tag: Any) -> None:
        """Write to the broker that the message is taken, as kombu does. Raises redis.RedisError."""
        where = message.delivery_info
        entry = dumps([message._raw, where["exchange"], where["routing_key"]])
        with _client().pipeline() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: time.time()})
            pipe.hset(self.unacked_key, delivery_tag, entry)
            pipe.execute()

    def remove(self, delivery_tag: Any) -> None:
        """Remove the broker's record of a message. Raises redis.RedisError.

        Without a transaction, in which a full Redis refuses every command.
        """
        with _client().pipeline(transaction=False) as pipe:
            pipe.zrem(self.unacked_index_key, delivery_tag)
            pipe.hdel(self.unacked_key, delivery_tag)
            pipe.execute()

    def give_back(self, message: Any, delivery_tag: Any) -> None:
        """Queue a held message again, last in turn, and remove its record. Raises redis.RedisError.

        The message comes from memory: the broker may have lost its record.
        """
        where = message.delivery_info
        with _client().pipeline() as pipe:
            pipe.zrem(self.unacked_index_key, delivery_tag)
            pipe.hdel(self.unacked_key, delivery_tag)
            self.channel._do_restore_message(message._raw, where["exchange"], where["routing_key"], pipe, leftmost=True)
            pipe.execute()


class PatientChannel(transport.Channel):  # type: ignore[misc]  # kombu is not typed
    """kombu's channel. A worker can start while the broker is full, and leave a connection that hangs.

    `answered_at`: when a BRPOP was last answered; monotonic seconds.
    """

    QoS = PatientQoS
    answered_at = 0.0

    def bind(self, *binding: Any) -> None:
        """Write a queue's binding. Raises redis.RedisError."""
        super()._queue_bind(*binding)

    def close(self) -> None:
        """Read what the last BRPOP brings, then close. From a connection that hangs or refuses nothing comes."""
        if self._in_poll:
            try:
                self._brpop_read()
            except (Empty, OSError, redis.RedisError) as error:
                log.debug("fleet: nothing came before the channel closed: %s", type(error).__name__)
        super().close()

    def _brpop_read(self, **options: Any) -> Any:
        """Read one answer. A message that cannot be read is dropped: it would end the consumption of every worker."""
        holdings.latest = None
        try:
            result = super()._brpop_read(**options)
        except (OSError, redis.RedisError):
            raise
        except Empty:
            self.answered_at = time.monotonic()
            raise
        except Exception as error:  # noqa: BLE001 - whatever kombu or Celery raise for a malformed message
            # The error's text can hold a part of the message.
            log.error("fleet: a message that cannot be read is dropped: %s", type(error).__name__)
            if holdings.latest is not None:
                self.qos.reject(holdings.latest)
            result = True
        self.answered_at = time.monotonic()
        return result

    def _size(self, queue: str) -> int:
        """Return the messages in a queue. Like `remove`, without a transaction."""
        with self.conn_or_acquire() as client:
            pipe = client.pipeline(transaction=False)
            for priority in self.priority_steps:
                pipe.llen(self._q_for_pri(queue, priority))
            return sum(pipe.execute())

    def _do_restore_message(
        self, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        """Queue a message again, in the transaction that removes its record. Raises redis.RedisError.

        kombu's own logs the message if it cannot find its queues, and lets the transaction remove the record.
        """
        with contextlib.suppress(KeyError):
            payload["headers"]["redelivered"] = True
            payload["properties"]["delivery_info"]["redelivered"] = True
        push = pipe.lpush if leftmost else pipe.rpush
        for queue in self._lookup(exchange, routing_key):
            push(self._q_for_pri(queue, self._get_message_priority(payload, reverse=False)), dumps(payload))

    def _queue_bind(self, *binding: Any) -> None:
        try:
            self.bind(*binding)
        except redis.ResponseError as error:
            _begin(error)
            holdings.bindings.add(binding)


def _begin(error: Exception) -> None:
    _outage.begin(type(error).__name__)  # the error's text can hold a part of the message


def install(**_: Any) -> None:
    """Let kombu use it for every connection of this process."""
    connections.install()
    transport.Transport.Channel = PatientChannel


worker_init.connect(install)
