"""Writes versions of a bundle into the bucket, so that a version is current whole or not at all.

The order is the guarantee: files, then the manifest that names them, then the pointer, which S3 replaces only if it is
still the one that was read at the beginning, or that the last upload from here has left.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from fleet.dag_versions import names
from fleet.dag_versions.bucket import Missing, ReadPointer
from fleet.dag_versions.manifest import BadManifest, Manifest, short
from fleet.dag_versions.memory import Left, Memory
from fleet.dag_versions.pointer import Entry, Pointer
from fleet.dag_versions.writing import Outdated, Refused, Stored, WritableBucket

WRITERS = 16
# The longest that one removal of old versions may take. Meanwhile nothing can be uploaded: it could need what goes.
CLEAN_WITHIN_S = 300.0
# A version that was current so lately stays: a report on what runs use is a minute old at most, the DAG processor takes
# another one to fetch a version, and the rest is for clocks of uploaders that differ.
LATELY_S = 600.0


class Folder(Protocol):
    """The files of a version to be: their manifest, and the content of each by its path."""

    @property
    def manifest(self) -> Manifest: ...

    def content(self, path: str) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A version that is current, how many files were uploaded for it, and whether it became current by this.

    `versions`: how many different ones the pointer lists.
    """

    version: str
    uploaded: int
    is_new: bool
    versions: int


class Delivery:
    """One bundle of a bucket. Each method may raise Refused and what boto3 raises.

    `memory`: of the last upload from here; without it, each upload reads the pointer and the manifest first.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        bundle: str,
        *,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bundle, self._clock = bundle, clock
        self._bucket = WritableBucket(s3, bucket, bundle, clock=clock)
        self._memory = memory or Memory()

    def pointer(self) -> Pointer:
        """Return the pointer, empty if nothing was uploaded."""
        read = self._bucket.read()
        return Pointer() if read is None else read.pointer

    def upload(self, folder: Folder) -> Delivered:
        """Make the folder the current version."""
        left = self._memory.recall()
        if left is not None and left.manifest != folder.manifest:
            with contextlib.suppress(Outdated):
                return self._upload(folder, left.read, left.manifest, is_remembered=True)
        before = self._bucket.read_to_write()
        current = None if before is None else before.pointer.current
        if before is not None and current is not None and current.version == folder.manifest.version:
            return self._delivered(Left(read=before, manifest=folder.manifest), uploaded=0, is_new=False)
        there = None if current is None else self._bucket.manifest(current.version)
        return self._upload(folder, before, there or Manifest(files={}))

    def go_back(self, beginning: str) -> Delivered:
        """Make a version current again that was before; `beginning`: of its name."""
        before = self._bucket.read_to_write()
        entries = () if before is None else before.pointer.entries
        found = {each.version: each for each in reversed(entries) if each.version.startswith(beginning)}
        if before is None or len(found) != 1:
            what = "no version" if not found else f"{len(found)} versions"
            raise Refused(f"{what} of the bundle {self._bundle} begin with {beginning}: make dags ENV=... lists them")
        ((version, entry),) = found.items()
        try:
            manifest = self._bucket.manifest_to_use(version)
        except (Missing, BadManifest) as error:
            raise Refused(f"version {short(version)} cannot come back: {error}") from None
        if version == entries[0].version:
            return self._delivered(Left(read=before, manifest=manifest), uploaded=0, is_new=False)
        read = self._replace(before, self._moved(before, version, files=entry.files))
        return self._delivered(Left(read=read, manifest=manifest), uploaded=0, is_new=True)

    def clean(self, keep: int, in_use: Iterable[str]) -> int:
        """Remove all versions but the last `keep` that were current and those in use; return how many were removed.

        Those that were current within LATELY_S stay as well.

        The pointer says so first, so an upload that is under way is refused at its end. Without it files could be
        removed that such an upload counts on.
        """
        before = self._bucket.read_to_write()
        if before is None or before.pointer.current is None:
            return 0
        kept = before.pointer.kept(max(1, keep), in_use, since=self._clock() - LATELY_S)
        entries = tuple(each for each in before.pointer.entries if each.version in kept)
        if entries == before.pointer.entries:
            return 0
        until = self._clock() + CLEAN_WITHIN_S
        cleaning = self._replace(before, Pointer(entries=entries, cleaning_until=until))
        # What unfinished runs use may be long gone from the pointer's list.
        manifests = {version: self._bucket.manifest(version) for version in kept}
        needed = {sha256 for each in manifests.values() if each is not None for sha256 in _contents(each)}
        prefix = names.manifests(self._bundle)
        gone = [key for key in self._bucket.keys(prefix) if key.removeprefix(prefix) not in kept]
        self._bucket.delete(gone)
        prefix = names.objects(self._bundle)
        self._bucket.delete([key for key in self._bucket.keys(prefix) if key.removeprefix(prefix) not in needed])
        read = self._replace(cleaning, Pointer(entries=entries))
        if (manifest := manifests[before.pointer.current.version]) is not None:
            self._memory.keep(Left(read=read, manifest=manifest))
        return len(gone)

    def _upload(
        self, folder: Folder, before: ReadPointer | None, there: Manifest, *, is_remembered: bool = False
    ) -> Delivered:
        """Write what is not `there`, the manifest, the pointer. Raises Outdated if `before` is remembered and old."""
        known = _contents(there)
        fresh = {file.sha256: path for path, file in folder.manifest.files.items() if file.sha256 not in known}
        stored = self._put_files(folder, fresh)
        version, files = folder.manifest.version, len(folder.manifest.files)
        stored.append(self._bucket.put(names.manifest_key(self._bundle, version), folder.manifest.to_bytes()))
        began_at = min(each.at for each in stored) if is_remembered else 0.0
        read = self._replace(before, self._moved(before, version, files=files), began_at=began_at)
        return self._delivered(Left(read=read, manifest=folder.manifest), uploaded=len(fresh), is_new=True)

    def _put_files(self, folder: Folder, fresh: dict[str, str]) -> list[Stored]:
        """Write the files, by their hash."""

        def put(sha256: str, path: str) -> Stored:
            return self._bucket.put(names.object_key(self._bundle, sha256), folder.content(path))

        with ThreadPoolExecutor(WRITERS) as writers:
            writes = [writers.submit(put, sha256, path) for sha256, path in fresh.items()]
            try:
                return [each.result() for each in writes]
            except BaseException:
                writers.shutdown(wait=False, cancel_futures=True)
                raise

    def _moved(self, before: ReadPointer | None, version: str, *, files: int) -> Pointer:
        pointer = Pointer() if before is None else before.pointer
        return pointer.moved_to(Entry(version=version, at=self._clock(), files=files))

    def _replace(self, before: ReadPointer | None, pointer: Pointer, *, began_at: float = 0.0) -> ReadPointer:
        try:
            return self._bucket.replace(before, pointer, began_at=began_at)
        except (Refused, Outdated):
            self._memory.forget()
            raise

    def _delivered(self, left: Left, *, uploaded: int, is_new: bool) -> Delivered:
        self._memory.keep(left)
        versions = len({each.version for each in left.read.pointer.entries})
        return Delivered(version=left.manifest.version, uploaded=uploaded, is_new=is_new, versions=versions)


def _contents(manifest: Manifest) -> set[str]:
    """Return the hashes of the files that a version has."""
    return {file.sha256 for file in manifest.files.values()}
