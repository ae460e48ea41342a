"""Keeps the database's server as RDS says that it is: gone while the instance is stopped, then back with its data."""

from __future__ import annotations

import logging
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.servers.postgres import Postgres

log = logging.getLogger(__name__)

EVERY_S = 0.5
STOPPED = "stopped"


class DatabaseKeeper:
    """Looks in a thread of its own until it is closed: a server that it started ends with that thread."""

    def __init__(self, *, rds: Any, server: Postgres) -> None:
        """Keep the server of the one instance that there is."""
        self._rds, self._server = rds, server
        self._closing = threading.Event()
        self._is_up = True
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(EVERY_S):
            try:
                (instance,) = self._rds.describe_db_instances()["DBInstances"]
            except (BotoCoreError, ClientError) as error:
                log.warning("the AWS API does not say how the database is: %s", error)
                continue
            self._follow(is_wanted=instance["DBInstanceStatus"] != STOPPED)

    def _follow(self, *, is_wanted: bool) -> None:
        if is_wanted and not self._is_up:
            self._server.restart()
        elif self._is_up and not is_wanted:
            self._server.stop()
        self._is_up = is_wanted
