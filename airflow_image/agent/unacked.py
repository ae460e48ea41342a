"""Loses no message to a broker that refuses writes, because it is full or has become a replica.

kombu takes a message with one command and records it as unacknowledged with another. Where the first is granted and the
second refused, the message would exist nowhere, and the error would end the worker. So the worker keeps what it owes
the broker in memory, and writes it when the broker accepts it. Until then it runs what it took and takes nothing more.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import redis
from celery.signals import worker_init
from kombu.transport import redis as transport
from kombu.transport.virtual import base
from kombu.utils.json import dumps

from agent.broker import Outage

log = logging.getLogger(__name__)

_outage = Outage("the broker refuses to note what this worker takes, which takes nothing more until then", log)


class Debts:
    """What the broker has refused. It outlives a connection; only the event loop's thread uses it.

    All but `bindings` are delivery tags.
    """

    def __init__(self) -> None:
        self.bindings: set[tuple[Any, ...]] = set()  # of queues to exchanges; only publishers read them
        self.records: dict[Any, Any] = {}  # messages that were taken and are not recorded
        self.returns: set[Any] = set()  # messages that another worker should take
        self.removals: set[Any] = set()  # messages that are done with

    def __bool__(self) -> bool:
        return bool(self.bindings or self.records or self.returns or self.removals)

    def pay(self, channel: Any) -> None:
        """Write what is owed, through this channel, as far as the broker accepts it."""
        if not self:
            return
        try:
            self._pay(channel, channel.qos)
        except redis.RedisError as error:
            _begin(error)
        else:
            _outage.end()

    def _pay(self, channel: Any, qos: Any) -> None:
        for binding in list(self.bindings):
            channel.bind(*binding)
            self.bindings.discard(binding)
        for tag, message in list(self.records.items()):
            qos.record(message, tag)
            del self.records[tag]
        for tag in list(self.returns):
            qos.restore_by_tag(tag, leftmost=True)
            self.returns.discard(tag)
        for tag in list(self.removals):
            qos.remove(tag)
            self.removals.discard(tag)


debts = Debts()


class PatientQoS(transport.QoS):  # type: ignore[misc]  # kombu is not typed
    """kombu's record of unacknowledged messages. A write that is refused becomes a debt instead of an error."""

    def can_consume(self) -> bool:
        """Return whether to take another message: not while one is not recorded. Remote control goes on."""
        return not (debts.records and self.channel.active_queues) and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: Any) -> None:
        """Record a message that was taken."""
        try:
            self.record(message, delivery_tag)
        except redis.RedisError as error:
            _begin(error)
            debts.records[delivery_tag] = message
        base.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: Any) -> None:
        """Remove a message that is done with."""
        debts.records.pop(delivery_tag, None)
        try:
            self.remove(delivery_tag)
        except redis.RedisError as error:
            _begin(error)
            debts.removals.add(delivery_tag)
        base.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Remove a message, or let another worker take it."""
        if not requeue:
            self.ack(delivery_tag)
            return
        if delivery_tag in debts.records:
            debts.returns.add(delivery_tag)
        else:
            try:
                self.restore_by_tag(delivery_tag, leftmost=True)
            except redis.RedisError as error:
                _begin(error)
                debts.returns.add(delivery_tag)
        base.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Look for messages that were taken too long ago; later, if the broker refuses the lock for it."""
        try:
            super().restore_visible(*args, **kwargs)
        except redis.ResponseError as error:
            log.debug("fleet: the broker refuses a lock: %s", type(error).__name__)

    def record(self, message: Any, delivery_tag: Any) -> None:
        """Write to the broker that the message is taken, as kombu does. Raises redis.RedisError."""
        where = message.delivery_info
        entry = dumps([message._raw, where["exchange"], where["routing_key"]])
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: time.time()})
            pipe.hset(self.unacked_key, delivery_tag, entry)
            pipe.execute()

    def remove(self, delivery_tag: Any) -> None:
        """Remove the broker's record of a message. Raises redis.RedisError.

        Without a transaction, in which a full Redis refuses every command.
        """
        with self.channel.conn_or_acquire() as client:
            pipe = client.pipeline(transaction=False)
            pipe.zrem(self.unacked_index_key, delivery_tag)
            pipe.hdel(self.unacked_key, delivery_tag)
            pipe.execute()


class PatientChannel(transport.Channel):  # type: ignore[misc]  # kombu is not typed
    """kombu's channel. A worker can start while the broker is full."""

    QoS = PatientQoS

    def bind(self, *binding: Any) -> None:
        """Write a queue's binding. Raises redis.RedisError."""
        super()._queue_bind(*binding)

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
            debts.bindings.add(binding)


def _begin(error: Exception) -> None:
    _outage.begin(type(error).__name__)  # the error's text can hold a part of the message


def install(**_: Any) -> None:
    """Let kombu use it for every connection of this process."""
    transport.Transport.Channel = PatientChannel


worker_init.connect(install)
