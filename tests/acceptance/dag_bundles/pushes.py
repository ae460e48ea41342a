"""Delivers versions of a bundle whose files say their number, and spoils the bucket for a while."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fleet.dag_versions.delivery import Delivery
from fleet.dag_versions.writing import Refused
from local.stack.up import Stack
from ops.dags.__main__ import main as make_dags
from ops.dags.__main__ import remove_old
from ops.dags.folder import Folder, read_folder
from ops.deployed import find_stack
from project import paths
from project.errors import CommandError
from tests.support.bundles import LATER_S

BUNDLE = "dags"
CHAIN, HOLDING, LOST = "chain", "holding", "lost"
RELEASE = "release"  # the variable that ends the task of `holding`
CHAIN_FILE = '''
"""Says which version it is of, in three tasks one after the other."""

import time
from datetime import timedelta

from airflow.sdk import dag, task

from beside_chain import HELPER

NUMBER = {number}


@dag(
    schedule=None,
    catchup=False,
    description=f"number={{NUMBER}} helper={{HELPER}}",
    max_active_runs=100,
    max_active_tasks=100,
    default_args={{"retries": 1, "retry_delay": timedelta(seconds=1)}},
)
def chain() -> None:
    @task
    def say() -> None:
        print(f"number={{NUMBER}} helper={{HELPER}}")
        time.sleep(2)

    first, second, third = (say.override(task_id=name)() for name in ("first", "second", "third"))
    first >> second >> third


chain()
'''
OTHERS_FILE = '''
"""A task that lasts until it is released, and one of a DAG that stays paused until its version is lost."""

import time

from airflow.sdk import Variable, dag, task

from beside_chain import HELPER


@dag(schedule=None)
def holding() -> None:
    @task
    def hold() -> None:
        print(f"number={HELPER} helper={HELPER}", flush=True)
        deadline = time.monotonic() + 600
        while Variable.get("release", default=None) is None and time.monotonic() < deadline:
            time.sleep(1)

    hold()


@dag(schedule=None)
def lost() -> None:
    @task
    def use() -> None:
        print("it ran")

    use()


holding()
lost()
'''


class Pushes:
    """The versions that were delivered to a stack. `numbers`: what their files say, by the names of versions."""

    def __init__(self, stack: Stack) -> None:
        self.numbers: dict[str, int] = {}
        self._s3, self.bucket = stack.clients.s3, stack.outputs["DagBucketName"]

    def push(self, *, is_whole_command: bool = False) -> str:
        """Deliver the next version and return its name.

        Testing DAG files takes seconds, and these differ in their number only: so the command itself delivers but one.
        """
        number = len(self.numbers) + 1
        folder = _folder(number)
        read = read_folder(folder)
        if not is_whole_command:
            self._delivery().upload(read)
        elif make_dags(["--env=local", f"--dags={folder}"]):
            raise CommandError(f"version {number} was not delivered")
        self.numbers[read.manifest.version] = number
        return read.manifest.version

    def push_two_at_once(self) -> list[str]:
        """Deliver two versions at the same moment; return how each went: delivered, or why not."""
        folders = [read_folder(_folder(len(self.numbers) + more)) for more in (1, 2)]
        ready = threading.Barrier(len(folders))
        went: list[str] = []

        def upload(folder: Folder) -> None:
            delivery = self._delivery()
            ready.wait()
            try:
                delivery.upload(folder)
            except Refused as error:
                went.append(str(error))
            else:
                went.append("delivered")

        threads = [threading.Thread(target=upload, args=(each,)) for each in folders]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        for folder in folders:
            self.numbers[folder.manifest.version] = len(self.numbers) + 1
        return went

    def current(self) -> str:
        """Return the version to which the pointer points."""
        entry = self._delivery().pointer().current
        return "" if entry is None else entry.version

    def stored(self) -> set[str]:
        """Return the versions whose manifest is in the bucket."""
        prefix = f"bundles/{BUNDLE}/manifests/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {each["Key"].removeprefix(prefix) for page in pages for each in page.get("Contents", [])}

    def remove_old(self, *, keep: int) -> None:
        """Remove old versions as `make dags` does, some time after the last push."""
        later = Delivery(self._s3, self.bucket, BUNDLE, clock=lambda: time.time() + LATER_S)
        remove_old(later, find_stack("local"), BUNDLE, keep=keep)

    def lose(self, version: str) -> None:
        """Remove a version behind the back of `make dags`."""
        self._s3.delete_object(Bucket=self.bucket, Key=f"bundles/{BUNDLE}/manifests/{version}")

    @contextlib.contextmanager
    def refused_to_all(self) -> Iterator[None]:
        """Let the bucket refuse every read by a role, until the block ends."""
        before = self._s3.get_bucket_policy(Bucket=self.bucket)["Policy"]
        statement = {
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{self.bucket}/*",
        }
        policy = json.loads(before)
        policy["Statement"].append(statement)
        self._s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))
        try:
            yield
        finally:
            self._s3.put_bucket_policy(Bucket=self.bucket, Policy=before)

    def _delivery(self) -> Delivery:
        return Delivery(self._s3, self.bucket, BUNDLE)


def _folder(number: int) -> Path:
    folder = paths.STATE / "pushed" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chain.py").write_text(CHAIN_FILE.format(number=number))
    (folder / "others.py").write_text(OTHERS_FILE)
    (folder / "beside_chain.py").write_text(f"HELPER = {number}\n")
    return folder


def said_by(command: Any, arguments: Sequence[str]) -> str:
    """Run a command of the project in this process; return what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command(arguments)
    return printed.getvalue()
