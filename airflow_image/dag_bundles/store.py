"""Keeps versions of a bundle on the disk of one container, for all of its processes.

FOLDER/objects/SHA      a file's content; SHA.x if it may be executed
FOLDER/versions/SHA     a whole version, of hard links to its objects
FOLDER/new-*            a version that is being written; garbage unless its writer holds the lock
FOLDER/lock             held by the process that writes or removes versions

A process that uses a version holds a shared lock on its folder, and no version is removed while one is held. The kernel
ends a lock with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fleet.dag_versions.bucket import Missing, Unavailable
from fleet.dag_versions.manifest import BadManifest, File, Manifest, digest, parse_manifest

log = logging.getLogger(__name__)

READERS = 16
LOOK_AGAIN_S = 0.05
MAX_KEPT = 20  # versions that no process uses
SCRATCH, PARTIAL = "new-", "part-"


class Source(Protocol):
    """Where versions come from: each method may wait until `until`, and raises Missing or Unavailable."""

    def manifest(self, version: str, *, until: float) -> bytes: ...

    def content(self, sha256: str, *, until: float) -> bytes: ...


class CannotHold(Exception):
    """The version cannot be had. The message is one line, without the name of the bundle."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A version that stays on the disk until `release`, or the end of this process and all that it forks."""

    version: str
    path: Path
    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


class VersionStore:
    """The versions in one folder. `limit_bytes`: what unused versions may take, with those in use, before they go."""

    def __init__(self, folder: Path, *, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._limit_bytes, self._clock = folder, limit_bytes, clock
        self._objects, self._versions = folder / "objects", folder / "versions"

    def path(self, version: str) -> Path:
        return self._versions / version

    def hold(self, version: str, source: Source, *, until: float) -> Held:
        """Return the version, which is fetched if no process of this container has fetched it yet.

        Raises CannotHold if that has not succeeded `until` that time by the clock.
        """
        while True:
            if (held := self._hold_present(version)) is not None:
                return held
            try:
                with self._writing(version, until=until) as is_to_write:
                    if is_to_write:
                        self._write(version, source, until=until)
                        self._clean(spared=version)
            except (Missing, Unavailable, BadManifest) as error:
                raise CannotHold(str(error)) from None
            except OSError as error:
                raise CannotHold(f"the container's disk: {error}") from None

    def _hold_present(self, version: str) -> Held | None:
        """Return the version if it is there: the folder that was locked must still be the one of that name."""
        path = self.path(version)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                os.utime(descriptor)  # the last use
                return Held(version=version, path=path, descriptor=descriptor)
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @contextlib.contextmanager
    def _writing(self, version: str, *, until: float) -> Iterator[bool]:
        """Hold the lock, unless another process has written the version meanwhile: then yield False."""
        for folder in (self._objects, self._versions):
            folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if self.path(version).is_dir():
                        yield False
                        return
                    if self._clock() >= until:
                        raise Unavailable(
                            "another task of this worker has been fetching a version all the time"
                        ) from None
                    time.sleep(LOOK_AGAIN_S)
                else:
                    break
            yield not self.path(version).is_dir()

    def _write(self, version: str, source: Source, *, until: float) -> None:
        """Write the version's folder under another name, and rename it: it is there whole or not at all."""
        self._remove_garbage()
        began = self._clock()
        manifest = parse_manifest(source.manifest(version, until=until), version=version)
        wanted = {(file.sha256, file.is_executable): file for file in manifest.files.values()}
        with ThreadPoolExecutor(READERS) as readers:
            kept = [readers.submit(self._keep, file, source, until=until) for file in wanted.values()]
            try:
                fetched = sum(each.result() for each in kept)
            except BaseException:
                readers.shutdown(wait=False, cancel_futures=True)  # the rest would only fail later
                raise
        scratch = Path(tempfile.mkdtemp(dir=self._folder, prefix=SCRATCH))
        self._link(manifest, scratch)
        scratch.chmod(0o755)
        scratch.rename(self.path(version))
        log.info(
            "version %s written: %d files, %d of them fetched, in %.2f s",
            *(version, len(manifest.files), fetched, self._clock() - began),
        )

    def _link(self, manifest: Manifest, scratch: Path) -> None:
        for folder in sorted({path.rpartition("/")[0] for path in manifest.files} - {""}):
            (scratch / folder).mkdir(parents=True, exist_ok=True)
        for path, file in manifest.files.items():
            os.link(self._object(file), scratch / path)

    def _keep(self, file: File, source: Source, *, until: float) -> int:
        """Bring a file into the folder of objects; return how many were fetched.

        One that is there is read all the same: the code of a task may have changed it.
        """
        kept = self._object(file)
        with contextlib.suppress(FileNotFoundError):
            if kept.stat().st_size == file.size and digest(kept.read_bytes()) == file.sha256:
                return 0
        content = source.content(file.sha256, until=until)
        if digest(content) != file.sha256 or len(content) != file.size:
            raise Unavailable(f"the content of {file.sha256} arrived damaged")
        descriptor, name = tempfile.mkstemp(dir=self._objects, prefix=PARTIAL)
        with os.fdopen(descriptor, "wb") as partial:
            partial.write(content)
            os.fchmod(partial.fileno(), 0o555 if file.is_executable else 0o444)
        Path(name).replace(kept)
        return 1

    def _object(self, file: File) -> Path:
        return self._objects / (file.sha256 + (".x" if file.is_executable else ""))

    def _remove_garbage(self) -> None:
        """Remove what writers left that were killed. Needs the lock."""
        for left in self._folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in self._objects.glob(f"{PARTIAL}*"):
            left.unlink(missing_ok=True)

    def _clean(self, *, spared: str) -> None:
        """Remove versions that no process uses, the one used longest ago first, down to the limits. Needs the lock."""
        try:
            versions = sorted(self._versions.iterdir(), key=lambda each: each.stat().st_mtime)
            unused = [each for each in versions if each.name != spared]
            while unused and (len(unused) > MAX_KEPT or self._size() > self._limit_bytes):
                self._remove_unless_used(unused.pop(0))
                self._remove_unlinked()
        except OSError as error:
            log.warning("old versions cannot be removed: %s", error)

    def _remove_unless_used(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            # Under another name first: who opens the version's folder now waits for the lock, and finds it gone.
            gone = folder.rename(self._folder / f"{SCRATCH}{folder.name}")
            shutil.rmtree(gone)
            log.info("version %s removed from the disk", folder.name)
        finally:
            os.close(descriptor)

    def _remove_unlinked(self) -> None:
        for each in self._objects.iterdir():
            if each.stat().st_nlink == 1:
                each.unlink()

    def _size(self) -> int:
        """Return the bytes of all files, each once, with the bytecode that Python wrote beside them."""
        seen: dict[int, int] = {}
        for here, _, files in os.walk(self._folder):
            for name in files:
                found = os.lstat(f"{here}/{name}")
                seen[found.st_ino] = found.st_size
        return sum(seen.values())
