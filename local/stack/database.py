"""Stops the database server while RDS says that the instance is stopped, then starts it with its data.

It makes snapshots, and the servers of databases that are restored from them, too.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.servers.postgres import Postgres
from local.stack.restored_databases import RestoredDatabases

log = logging.getLogger(__name__)

EVERY_S = 0.5
STOPPED = "stopped"


class DatabaseKeeper:
    """Follows RDS in a thread of its own until it is closed. A server that it started ends with that thread."""

    def __init__(self, *, rds: Any, server: Postgres, restored: RestoredDatabases) -> None:
        """Begin to follow the only instance, and those that are restored from its snapshots."""
        self._rds, self._server, self._restored = rds, server, restored
        self._identifier = restored.original
        self._closing = threading.Event()
        self._is_up = True
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(EVERY_S):
            try:
                instances = {i["DBInstanceIdentifier"]: i for i in self._rds.describe_db_instances()["DBInstances"]}
                own = instances.pop(self._identifier)
                self._follow(is_wanted=own["DBInstanceStatus"] != STOPPED)
                if self._is_up:
                    self._restored.tick(instances.values())
            except (BotoCoreError, ClientError) as error:
                log.warning("cannot read the state of the database: %s", error)
        self._restored.close()

    def _follow(self, *, is_wanted: bool) -> None:
        if is_wanted and not self._is_up:
            self._server.restart()
        elif self._is_up and not is_wanted:
            self._server.stop()
        self._is_up = is_wanted
