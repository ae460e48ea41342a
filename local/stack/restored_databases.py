"""Makes snapshots of the stack's database with pg_dump, and a server of its own for each that RDS restores."""

from __future__ import annotations

import json
import logging
import os
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.aws.restored_databases import ADDRESS
from local.servers import postgres_files
from local.servers.postgres import Postgres
from local.servers.relay import Relay

log = logging.getLogger(__name__)

RESTORE_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class Original:
    """The stack's own database: its instance, its server, its name on it, the secret with its user and password."""

    identifier: str
    server: Postgres
    name: str
    secret_arn: str


class RestoredDatabases:
    """Follows RDS's snapshots and instances at each `tick`, all of them in one thread, in which its servers run."""

    def __init__(
        self, *, rds: Any, secrets: Any, original: Original, relay: Relay, tls: ssl.SSLContext, folder: Path
    ) -> None:
        self._rds, self._secrets, self._original = rds, secrets, original
        self._relay, self._tls, self._folder = relay, tls, folder
        self._dumps: dict[str, Path] = {}
        self._servers: dict[str, Postgres] = {}

    @property
    def original(self) -> str:
        """The identifier of the stack's own instance."""
        return self._original.identifier

    def tick(self, restored: Iterable[dict[str, Any]]) -> None:
        """Take new snapshots, start servers for new instances of `restored`, and end those of deleted ones.

        Raises what boto3 raises.
        """
        present = {instance["DBInstanceIdentifier"]: instance for instance in restored}
        for snapshot in self._rds.describe_db_snapshots(DBInstanceIdentifier=self._original.identifier)["DBSnapshots"]:
            name = snapshot["DBSnapshotIdentifier"]
            if name not in self._dumps and snapshot["DBInstanceIdentifier"] == self._original.identifier:
                self._dumps[name] = self._dump(name)
        for name in self._servers.keys() - present.keys():
            self._servers.pop(name).remove()
        for name, instance in present.items():
            if name not in self._servers:
                self._servers[name] = self._restored(name)
                address = self._relay.add(
                    f"database {name}",
                    backend=lambda server=self._servers[name]: (server.host, server.port),  # type: ignore[misc]
                    tls=self._tls,
                    starttls="postgres",
                )
                tag = {"Key": ADDRESS, "Value": "{}:{}".format(*address)}
                self._rds.add_tags_to_resource(ResourceName=instance["DBInstanceArn"], Tags=[tag])

    def close(self) -> None:
        """End the servers and delete their data."""
        for server in self._servers.values():
            server.remove()
        self._servers.clear()

    def _dump(self, snapshot: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{snapshot.replace(':', '-')}.dump"
        user, password = self._credentials()
        self._run("pg_dump", self._original.server, user, password, "--format=custom", f"--file={path}")
        return path

    def _restored(self, name: str) -> Postgres:
        """Start a server with the newest snapshot in it: a restore that names an older one is not told apart."""
        dump = list(self._dumps.values())[-1]
        user, password = self._credentials()
        server = Postgres(self._folder / name).start()
        server.provision(user, password, self._original.name)
        self._run("pg_restore", server, user, password, "--no-owner", str(dump))
        return server

    def _credentials(self) -> tuple[str, str]:
        secret = json.loads(self._secrets.get_secret_value(SecretId=self._original.secret_arn)["SecretString"])
        return secret["username"], secret["password"]

    def _run(self, program: str, server: Postgres, user: str, password: str, *more: str) -> None:
        where = [f"--host={server.host}", f"--port={server.port}", f"--username={user}", "--no-password"]
        done = subprocess.run(
            [
                postgres_files.programs(self._folder, uid=None) / program,
                *where,
                f"--dbname={self._original.name}",
                *more,
            ],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGPASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
            timeout=RESTORE_TIMEOUT_S,
        )
        if done.returncode:
            log.warning("%s: %s", program, done.stderr.strip())
