"""The transport that Airflow's OpenLineage provider uses in tasks: it leaves each document to the sender."""

from __future__ import annotations

import os
from typing import Any

from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport

from agent.lineage import folder


class Outbox(Transport):  # type: ignore[misc]  # not type-checked here, as Airflow
    """Writes files: the task waits for nothing but the disk. What is too much is not written, and its log says so."""

    kind = "outbox"
    config_class = Config

    def __init__(self, _config: Any) -> None:
        super().__init__()
        self._folder = folder.folder_of(os.environ)

    def emit(self, event: Any) -> None:
        """Leave the document. Raises NoRoom or OSError, which Airflow logs as a warning."""
        folder.put(self._folder, Serde.to_json(event).encode())
