"""The broker's users on a real Redis: each can do its work and nothing else."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from agent.costs.counts import read_counts
from agent.costs.ledger import Ledger
from autoscaler.backing import hold_against_ecs
from autoscaler.observation import Service
from autoscaler.redis_reader import read_broker_state, read_fleets, read_queues
from fleet import access
from fleet.access import unacked_keys
from fleet.costs import day_of
from fleet.ends import ENDS_TTL_S, MEMORY, End
from fleet.member import CONSUMING, DRAINED, RUNNING, Member
from fleet.pools import Pool, lists_of, lists_of_pools
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN, Registry, ends_key
from fleet.work import DEFAULT_LIMITS, parse_limits
from project import paths
from shared.known_tasks import Answers
from tests.support.broker_users import POOLS, BrokerWithUsers, broker_with_users, password_of
from tests.support.celery_worker import running_worker
from tests.support.fake_ecs import MEMBER_ID, FakeEcs
from tests.support.waiting import eventually
from tests.support.work_reports import a_report
from version_check.memory import Memory, Store
from version_check.report import Message
from version_check.work import Teller, items_of

PYTHON = paths.AIRFLOW_ENVIRONMENT / "bin/python"
needs_airflow = pytest.mark.skipif(not PYTHON.exists(), reason="needs make setup-local")
WORKER, OTHER = access.worker("worker"), access.worker("sql")
DECLARED = tuple(Pool(name=name, queues=queues, minimum=0, maximum=2, concurrency=2) for name, queues in POOLS.items())
EVERYONE = [access.DEFAULT, *(user.name for user in access.users(POOLS))]


@pytest.fixture(scope="module")
def shared() -> Iterator[BrokerWithUsers]:
    with broker_with_users() as broker:
        yield broker


@pytest.fixture
def fake_ecs() -> Iterator[FakeEcs]:
    fake = FakeEcs()
    yield fake
    fake.close()


@pytest.fixture
def broker(shared: BrokerWithUsers) -> BrokerWithUsers:
    shared.administrator.flushall()
    shared.administrator.acl_log_reset()
    return shared


def member(role: str, *, state: str = RUNNING, pool: str | None = None) -> Member:
    return Member(
        id=f"task-1/{role}", role=role, pool=pool, image_version="1", dags_hash="d", airflow_version="3.3.2",
        state=state, slots=2, active=0, protected=False, started_at=1.0, task_arn="arn/task-1", container=role,
        queues=("default",) if pool else (),
    )  # fmt: skip


# Sends tasks, asks workers and restores messages with the image's libraries: others may use other keys.
PROGRAM = """
import json, sys, time
import celery, kombu

url, options, action = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
app = celery.Celery("program", broker=url)
app.conf.broker_transport_options = options
if action == "send":
    for _ in range(3):
        app.send_task("nap", args=(0.1,), queue="default", ignore_result=True)
elif action == "ask":
    ping, inspect = app.control.ping(timeout=3), app.control.inspect(timeout=3)
    print(json.dumps([list(answer.values()) for answer in ping] + [list((inspect.active() or {}).values())]))
elif action == "revoke":
    app.control.revoke("a-task", terminate=True)
elif action == "listen":
    connection = app.connection_for_read()
    receiver = app.events.Receiver(connection, handlers={"*": lambda event: print(event["type"])})
    receiver.capture(limit=6)  # each time an event, or a second without one
elif action == "restore":
    app.amqp.queues.select(["default"])
    queue = app.amqp.queues["default"]
    dead = app.connection_for_read().channel()
    with kombu.Consumer(dead, queues=[queue], callbacks=[lambda *_: None]):
        dead.connection.client.drain_events(timeout=5)
    time.sleep(1.1)
    other = app.connection_for_read().channel()
    queue.bind(other).declare()
    other.qos.restore_visible()
"""


def run(broker: BrokerWithUsers, user: str, action: str, *, pool: str = access.FLOWERS_OWN) -> str:
    """Run an action of PROGRAM as a user; return what it printed."""
    names = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    options = {"visibility_timeout": 1, **dict(zip(names, unacked_keys(pool), strict=True))}
    argv = [str(PYTHON), "-c", PROGRAM, broker.url(user), json.dumps(options), action]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@needs_airflow
def test_a_worker_takes_a_task_answers_obeys_and_stops_warmly(
    broker: BrokerWithUsers, tmp_path: Path, fake_ecs: FakeEcs
) -> None:
    webserver = Registry(broker.client(access.WEBSERVER))
    webserver.report(member("webserver"))
    with running_worker(
        client=broker.administrator,
        url=broker.url(WORKER),
        reader_url=broker.url(access.READER),
        ecs=fake_ecs,
        folder=tmp_path,
        python=PYTHON,
    ) as worker:
        assert worker.reaches(CONSUMING, within_s=60), worker.log.read_text()
        run(broker, access.SCHEDULER, "send")
        assert eventually(lambda: worker.finished() == 3, within_s=20)
        assert eventually(lambda: worker.in_flight == 0, within_s=5)
        assert json.loads(run(broker, access.FLOWER, "ask")) == [[{"ok": "pong"}], [[]]]
        assert "worker-heartbeat" in run(broker, access.FLOWER, "listen")
        Registry(broker.client(access.AUTOSCALER)).give_orders({MEMBER_ID: ORDER_DRAIN})
        assert worker.reaches(DRAINED)
        Registry(broker.client(access.AUTOSCALER)).give_orders({MEMBER_ID: ORDER_CONSUME})
        assert worker.reaches(CONSUMING)
        # The scheduler revokes a task that waits too long.
        run(broker, access.SCHEDULER, "revoke")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0
        assert worker.member is None, "it has removed its record"
    assert broker.denials() == set()


def test_a_worker_tells_how_tasks_of_its_own_pool_ended_and_of_no_other(broker: BrokerWithUsers) -> None:
    own, other = Registry(broker.client(WORKER)), Registry(broker.client(OTHER))
    end = End(instance="an-id", try_number=1, t=own.now(), how=MEMORY, worker="task-1/worker")
    own.record_end("worker", end)
    assert Registry(broker.client(access.PAGE)).ends("worker", ["an-id", "another"]) == {"an-id": end}
    assert 0 < broker.administrator.ttl(ends_key("worker")) <= ENDS_TTL_S
    with pytest.raises(redis.exceptions.NoPermissionError):
        other.record_end("worker", end)
    with pytest.raises(redis.exceptions.NoPermissionError):
        Registry(broker.client(access.PAGE)).record_end("worker", end)


@needs_airflow
def test_a_message_of_a_worker_that_died_is_restored_by_another_of_its_pool(broker: BrokerWithUsers) -> None:
    run(broker, access.SCHEDULER, "send")
    run(broker, WORKER, "restore", pool="worker")
    assert broker.administrator.llen("default") == 3
    assert broker.administrator.hlen(unacked_keys("worker")[0]) == 0
    assert broker.denials() == set()


@pytest.mark.parametrize(
    ("user", "role"),
    [
        (access.SCHEDULER, "scheduler"),
        (WORKER, "worker"),
        (access.WEBSERVER, "webserver"),
        (access.DAG_PROCESSOR, "dag-processor"),
        (access.TRIGGERER, "triggerer"),
        (access.FORECASTER, "forecaster"),
        (access.FLOWER, "flower"),
        (access.EVENTS, "events"),
    ],
)
def test_a_container_reports_itself_and_reads_the_others(broker: BrokerWithUsers, user: str, role: str) -> None:
    registry = Registry(broker.client(user), reader=broker.client(access.READER))
    registry.report(member(role))
    assert [each.id for each in registry.members().members] == [f"task-1/{role}"]
    assert [each.id for each in registry.members_of(role).members] == [f"task-1/{role}"]
    assert registry.order(f"task-1/{role}") is None
    assert registry.images_given_up(POOLS) == frozenset()
    registry.forget(f"task-1/{role}")
    assert registry.members().members == ()
    assert broker.denials() == set()


def test_the_autoscaler_reads_and_orders(broker: BrokerWithUsers) -> None:
    client = broker.client(access.AUTOSCALER)
    registry = Registry(client)
    Registry(broker.client(WORKER)).report(member("worker", state=CONSUMING, pool="worker"))
    broker.administrator.lpush("default", "message")
    broker.administrator.lpush(lists_of("sql")[2], "message")
    queues = read_queues(client, DECLARED)
    assert queues.queued == {"worker": {"default": 1}, "sql": {"sql": 1, "reports": 0}}
    assert queues.heads["worker"]
    roster = registry.members()
    services = {pool.name: Service(desired=1, running=1, pending=0, deployments=()) for pool in DECLARED}
    backed = hold_against_ecs(roster, Answers(tasks={}), pools=DECLARED, services=services)
    fleets = read_fleets(client, backed, pools=DECLARED, rolling_out=(), now=roster.read_at)
    assert len(fleets["worker"].workers) == 1
    assert read_broker_state(client, backed, DECLARED).problem == ""
    registry.sweep(now=roster.read_at)
    registry.give_orders({"task-1/worker": ORDER_DRAIN})
    registry.write_memory("worker", {})
    registry.read_memory("worker")
    registry.forecast("worker")
    registry.record_decision("worker", {"t": 1.0})
    registry.note_given_up("worker", "image:2")
    assert broker.denials() == set()


def test_forecaster_version_check_sleeper_and_page_do_their_work(broker: BrokerWithUsers) -> None:
    from agent.page.costs import read_costs
    from agent.page.reader import read_code, read_fleet, read_history

    forecaster = Registry(broker.client(access.FORECASTER))
    forecaster.now()
    forecaster.write_forecast("worker", ((2_000_000_000, 3),))
    forecaster.write_work(a_report())
    ledger = Ledger(broker.client(access.FORECASTER))
    begin = day_of(ledger.now())
    (nothing,) = ledger.read([begin]).values()
    assert ledger.write(nothing.added({}, {}, until=begin + 60.0), was=nothing) is True
    assert ledger.write(nothing.added({}, {}, until=begin + 90.0), was=nothing) is False
    assert read_counts(broker.client(access.READER), ["worker"], now=ledger.now()) == {"worker": []}

    events = Registry(broker.client(access.EVENTS))
    events.write_events_position(2_000_000_000.25)
    assert events.events_position() == 2_000_000_000.25

    store = Store(broker.client(access.VERSION_CHECK))
    _, raw = store.read()
    assert store.replace(raw, Memory()) is True
    assert store.replace(b"another", Memory()) is False
    checking = broker.client(access.VERSION_CHECK)
    Registry(checking).members()
    report = Registry(checking).work()
    assert report == a_report()
    items = items_of(report, parse_limits(DEFAULT_LIMITS))
    sent: list[Message] = []
    assert Teller(checking, send=sent.append).tell(items, lambda _: Message(subject="s", body="b")) is None
    assert len(sent) == 1

    sleeper = broker.client(access.SLEEPER)
    Registry(sleeper).members()
    broker.administrator.lpush("default", "message")
    assert [sleeper.llen(name) for name in lists_of_pools(DECLARED)].count(1) == 1
    assert sleeper.delete(*lists_of_pools(DECLARED)) == 1

    page = broker.client(access.PAGE)
    for read in (read_fleet, read_code, read_history, read_costs):
        assert read(page, DECLARED)
    assert read_history(page, DECLARED)["pools"][0]["forecast"] == ((2_000_000_000, 3),)
    assert broker.denials() == set()


Attack = Callable[[redis.Redis], object]


def execute(client: Any, *command: str | float) -> object:
    result: object = client.execute_command(*command)
    return result


def call(*command: str | float) -> Attack:
    return lambda client: execute(client, *command)


# What a task could do with the only user of earlier releases.
ATTACKS: dict[str, Attack] = {
    "forge a report on the work": call("SET", "fleet:work", "{}"),
    "silence messages": call("SET", "fleet:quiet", "1"),
    "forge a forecast": call("SET", "fleet:forecast:worker", "[[2000000000,1000000]]"),
    "give another worker an order": call("SET", "fleet:order:task-2/worker", "drain"),
    "remove an order": call("DEL", "fleet:order:task-2/worker"),
    "forge the scaler's memory": call("SET", "fleet:scaler:worker", "{}"),
    "say that a version is given up": call("SET", "fleet:given-up:worker", "image:1"),
    "forge a decision": call("LPUSH", "fleet:decisions:worker", "{}"),
    "forge the history": call("HSET", "fleet:history:worker", "1", "[]"),
    "forge what tasks cost": call("SET", "fleet:costs:1764547200", "{}"),
    "forge the version check's memory": call("SET", "fleet:versions", "{}"),
    "forge a webserver": call("SET", "fleet:member:task-2/webserver", "{}"),
    "forge a scheduler": call("SET", "fleet:member:task-2/scheduler", "{}"),
    "read a message of another pool": call("LINDEX", "sql", 0),
    "take a message of another pool": call("RPOP", "sql"),
    "wait for a message of another pool": call("BRPOP", "sql", "sql\x06\x163", 1),
    "send a message to another pool": call("LPUSH", "sql", "message"),
    "send a message to another pool's priority": call("LPUSH", "sql\x06\x169", "message"),
    "bind its own queue to another pool's": call("SADD", "_kombu.binding.sql", "sql\x06\x16\x06\x16default"),
    "read another pool's running messages": call("HGETALL", unacked_keys("sql")[0]),
    "restore another pool's running messages": call("HGET", unacked_keys("sql")[0], "tag"),
    "list all keys": call("KEYS", "*"),
    "scan all keys": call("SCAN", 0),
    "empty the server": call("FLUSHALL"),
    "empty the database": call("FLUSHDB"),
    "change the server": call("CONFIG", "SET", "maxmemory", "0"),
    "read the server's settings": call("CONFIG", "GET", "*"),
    "forget all scripts": call("SCRIPT", "FLUSH"),
    "run a script": call("EVAL", "return 1", 0),
    "inspect the server": call("DEBUG", "OBJECT", "sql"),
    "read the users": call("ACL", "LIST"),
    "make a user": call("ACL", "SETUSER", "mallory", "on"),
    "list the clients": call("CLIENT", "LIST"),
    "read the server's state": call("INFO"),
    "move a key": call("RENAME", "sql", "default"),
    "copy a queue": call("COPY", "sql", "default"),
    "dump a queue": call("DUMP", "sql"),
    "sort a queue": call("SORT", "sql", "ALPHA"),
    "expire a queue": call("EXPIRE", "sql", 1),
    "listen to everything": call("PSUBSCRIBE", "*"),
}


@pytest.fixture
def filled(broker: BrokerWithUsers) -> BrokerWithUsers:
    client = broker.administrator
    client.lpush("sql", "message")
    client.hset(unacked_keys("sql")[0], "tag", "message")
    return broker


@pytest.mark.parametrize("name", ATTACKS)
def test_the_only_user_of_earlier_releases_could_do_it_and_a_worker_cannot(filled: BrokerWithUsers, name: str) -> None:
    with filled.client(WORKER) as client, pytest.raises(redis.exceptions.NoPermissionError):
        ATTACKS[name](client)
    filled.users.change(access.DEFAULT, access_string=access.EVERYTHING, passwords=())
    try:
        with filled.client(access.DEFAULT) as client:
            ATTACKS[name](client)
    finally:
        filled.users.change(access.DEFAULT, access_string=access.NOTHING, passwords=())
        filled.administrator.acl_deluser("mallory")


ADMINISTRATION = (
    *("list all keys", "empty the server", "change the server", "read the server's settings", "forget all scripts"),
    *("inspect the server", "read the users", "make a user", "list the clients"),
)


@pytest.mark.parametrize("user", EVERYONE[1:])
def test_no_user_administers_the_server(filled: BrokerWithUsers, user: str) -> None:
    with filled.client(user) as client:
        for name in ADMINISTRATION:
            with pytest.raises(redis.exceptions.NoPermissionError):
                ATTACKS[name](client)


@pytest.mark.parametrize(
    ("user", "command"),
    [
        (access.READER, ("SET", "fleet:order:task-1/worker", "drain")),
        (access.READER, ("ZADD", "fleet:members", 4e9, "x")),
        (access.READER, ("LLEN", "default")),
        (access.READER, ("GET", "fleet:costs:1764547200")),
        (access.READER, ("HSET", "fleet:history:worker", "1", "[]")),
        (access.FORECASTER, ("HSET", "fleet:history:worker", "1", "[]")),
        (access.PAGE, ("SET", "fleet:order:task-1/worker", "drain")),
        (access.PAGE, ("DEL", "default")),
        (access.DAG_PROCESSOR, ("SET", "fleet:member:x/webserver", "{}")),
        (access.DAG_PROCESSOR, ("LPUSH", "default", "message")),
        (access.TRIGGERER, ("SET", "fleet:forecast:worker", "[]")),
        (access.TRIGGERER, ("PUBLISH", "/0.celery.pidbox", "{}")),
        (access.WEBSERVER, ("SET", "fleet:scaler:worker", "{}")),
        (access.WEBSERVER, ("SET", "fleet:waiting:worker", "1")),
        (access.FORECASTER, ("SET", "fleet:order:task-1/worker", "drain")),
        (access.FORECASTER, ("LPUSH", "default", "message")),
        (access.FORECASTER, ("SET", "fleet:told", "[]")),
        (access.SCHEDULER, ("SET", "fleet:work", "{}")),
        (access.TRIGGERER, ("SET", "fleet:work", "{}")),
        (access.DAG_PROCESSOR, ("SET", "fleet:quiet", "1")),
        (access.FLOWER, ("BRPOP", "default", 1)),
        (access.FLOWER, ("LPUSH", "default", "message")),
        (access.FLOWER, ("SET", "fleet:forecast:worker", "[]")),
        (access.SCHEDULER, ("BRPOP", "default", 1)),
        (access.SCHEDULER, ("SET", "fleet:order:task-1/worker", "drain")),
        (access.SCHEDULER, ("SET", "fleet:forecast:worker", "[]")),
        (access.SCHEDULER, ("HGETALL", unacked_keys("worker")[0])),
        (access.VERSION_CHECK, ("LLEN", "default")),
        (access.VERSION_CHECK, ("SET", "fleet:order:task-1/worker", "drain")),
        (access.SLEEPER, ("SET", "default", "x")),
        (access.SLEEPER, ("LINDEX", "default", 0)),
        (access.AUTOSCALER, ("DEL", "default")),
        (access.AUTOSCALER, ("PUBLISH", "/0.celery.pidbox", "{}")),
        (OTHER, ("LPUSH", "default", "message")),
    ],
)
def test_a_user_cannot_do_the_work_of_another(
    broker: BrokerWithUsers, user: str, command: tuple[str | float, ...]
) -> None:
    with broker.client(user) as client, pytest.raises(redis.exceptions.NoPermissionError):
        execute(client, *command)


def test_nobody_signs_in_as_default(broker: BrokerWithUsers) -> None:
    server = broker.server
    for password in (None, password_of(access.DEFAULT)):
        with (
            redis.Redis(host=server.host, port=server.port, password=password) as client,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            client.ping()


def test_the_users_survive_a_restart(broker: BrokerWithUsers) -> None:
    broker.server.restart()
    with broker.client(WORKER) as client:
        client.lpush("default", "message")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.lpush("sql", "message")
