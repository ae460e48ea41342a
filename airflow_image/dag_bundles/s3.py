"""The bundle that Airflow reads: DAGs from the stack's bucket, each run with the version that it began with."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

from agent import variables
from dag_bundles.create_process import resolve_links
from dag_bundles.follower import Follower
from dag_bundles.store import CannotHold, Held, VersionStore
from fleet.dag_versions.bucket import BundleBucket, Missing, Unavailable
from fleet.dag_versions.pointer import BadPointer
from fleet.member import DAG_PROCESSOR

log = logging.getLogger(__name__)

# For how long a task tries to get its version. Its time limit counts only from the task's own code on.
PATIENCE_S = 60.0
# The DAG processor's first wait for a bundle; it asks again at each of its checks.
FIRST_WAIT_S = 2.0
# A file that was being parsed at a switch counts as the new version, although it was read before. Files are dated this
# much later than the switch, so that such a file is parsed again, unless that took longer; then it is after
# min_file_process_interval.
DATED_LATER_S = 3.0
LIMIT_MIB = 2048


class BundleUnavailable(RuntimeError):
    """A version of a bundle cannot be had. The message is for people who read a task's log."""


class S3DagBundle(BaseDagBundle):  # type: ignore[misc]  # Airflow is not type-checked here
    """The bundle of this name in `bucket`. Without a version it follows the pointer, in the DAG processor only."""

    supports_versioning = True

    def __init__(self, *, bucket: str, limit_mib: int = LIMIT_MIB, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # every role of Airflow makes bundles, most of them to read nothing
        self._where = f"s3://{bucket}"
        self._bucket = BundleBucket(bucket, self.name)
        self._store = VersionStore(self.base_dir, limit_bytes=limit_mib << 20)
        self._held: Held | None = None
        self._before: Held | None = None
        self._follower: Follower | None = None

    def initialize(self) -> None:
        """Bring the version to the disk. Raises BundleUnavailable."""
        if self.version:
            self._held = self._hold(self.version)
        elif os.environ.get(variables.ROLE) == DAG_PROCESSOR:
            self._follow()
        else:
            self._held = self._hold(self._read_current())
        super().initialize()

    def refresh(self) -> None:
        """Take the version that the follower has ready, if there is a newer one. Never waits for the bucket."""
        if self.version:
            raise BundleUnavailable(f"the bundle {self.name} was asked for one version, which does not change")
        if self._follower is not None:
            self._take(self._follower.take())

    def get_current_version(self) -> BundleVersion | None:
        """Return the version that `path` has; None while nothing was uploaded."""
        return BundleVersion(self._held.version) if self._held else None

    @property
    def path(self) -> Path:
        """The folder of the version. In the DAG processor a link to it, so that a file keeps its path at a switch."""
        if self.version:
            return self._store.path(self.version)
        if self._follower is not None or self._held is None:
            return Path(self.base_dir) / "current"
        return self._held.path

    def _hold(self, version: str) -> Held:
        try:
            return self._store.hold(version, self._bucket, until=time.monotonic() + PATIENCE_S)
        except CannotHold as error:
            raise BundleUnavailable(
                f"The code of this run, version {version} of the DAG bundle {self.name}, cannot be fetched from "
                f"{self._where}: {error}. If the version was removed, upload its DAGs again; otherwise clear the task "
                "when the bucket can be reached."
            ) from None

    def _read_current(self) -> str:
        """Return the current version for a run that has none. Raises BundleUnavailable."""
        try:
            read = self._bucket.pointer(until=time.monotonic() + PATIENCE_S)
        except (Missing, Unavailable, BadPointer) as error:
            raise BundleUnavailable(f"The DAG bundle {self.name} has no version that can be read: {error}") from None
        current = None if read is None else read.pointer.current
        if current is None:
            raise BundleUnavailable(f"The DAG bundle {self.name} has no current version")
        return current.version

    def _follow(self) -> None:
        if self._follower is None:
            resolve_links()
            self._follower = Follower(self._bucket, self._store, bundle=self.name)
        self._follower.wait(FIRST_WAIT_S)
        latest = self._follower.take()
        if latest is None and self._held is None and not self._follower.is_empty:
            reason = self._follower.trouble or f"{self._where} has not answered yet"
            raise BundleUnavailable(f"the DAG bundle {self.name} cannot be read: {reason}")
        self._take(latest)

    def _take(self, latest: Held | None) -> None:
        link = Path(self.base_dir) / "current"
        if latest is None:
            if self._held is None:
                link.mkdir(parents=True, exist_ok=True)  # no DAG yet
            return
        _date(latest.path, time.time() + DATED_LATER_S)
        _link(link, latest.path)
        # What is being parsed may still read the version before.
        if self._before is not None:
            self._before.release()
        self._before, self._held = self._held, latest


def _date(folder: Path, at: float) -> None:
    """Give all files this time. Airflow parses a file early only if it is newer than its last parsing.

    All, because a file whose helper module has changed is no newer itself, and a version that comes back is old.
    """
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            os.utime(f"{here}/{name}", (at, at))


def _link(link: Path, target: Path) -> None:
    """Let `link` lead to `target`, at once."""
    if link.is_dir() and not link.is_symlink():
        link.rmdir()  # of the time before the first upload
    fresh = link.with_name(f"current-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
