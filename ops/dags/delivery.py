"""Writes versions of a bundle into the bucket, so that a version is current whole or not at all.

The order is the guarantee: files, then the manifest that names them, then the pointer, which S3 replaces only if it is
still the one that was read at the beginning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dag_bundles import names
from dag_bundles.bucket import BundleBucket, Missing, ReadPointer, Unavailable
from dag_bundles.manifest import BadManifest, Manifest, parse_manifest
from dag_bundles.pointer import BadPointer, Entry, Pointer
from ops.dags.folder import Folder
from project.errors import CommandError

WRITERS = 16
# The longest that one removal of old versions may take. Meanwhile nothing can be uploaded: it could need what goes.
CLEAN_WITHIN_S = 300.0
DELETED_AT_ONCE = 1000  # S3's own limit
PATIENCE_S = 20.0
# S3's answers to a condition that does not hold, and to two conditional writes at the same moment.
LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
SHORT = 12


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A version that is current, how many files were uploaded for it, and whether it was current before."""

    version: str
    uploaded: int
    is_new: bool


class Delivery:
    """One bundle of a bucket, as an operator writes it. Each method may raise CommandError and what boto3 raises."""

    def __init__(self, s3: Any, bucket: str, bundle: str, *, clock: Callable[[], float] = time.time) -> None:
        self._s3, self._name, self._bundle, self._clock = s3, bucket, bundle, clock
        self._bucket = BundleBucket(bucket, bundle, client=s3)

    def pointer(self) -> Pointer:
        """Return the pointer, empty if nothing was uploaded."""
        read = self._read()
        return Pointer() if read is None else read.pointer

    def upload(self, folder: Folder) -> Delivered:
        """Make the folder the current version."""
        before = self._read_to_write()
        current = None if before is None else before.pointer.current
        version = folder.manifest.version
        if current is not None and current.version == version:
            return Delivered(version=version, uploaded=0, is_new=False)
        there = set() if current is None else self._contents(current.version)
        fresh = {file.sha256: path for path, file in folder.manifest.files.items() if file.sha256 not in there}
        with ThreadPoolExecutor(WRITERS) as writers:
            writes = [writers.submit(self._put_file, folder, path, sha256) for sha256, path in fresh.items()]
            try:
                for each in writes:
                    each.result()
            except BaseException:
                writers.shutdown(wait=False, cancel_futures=True)
                raise
        self._put(names.manifest_key(self._bundle, version), folder.manifest.to_bytes())
        self._move(before, version, files=len(folder.manifest.files))
        return Delivered(version=version, uploaded=len(fresh), is_new=True)

    def go_back(self, beginning: str) -> Delivered:
        """Make a version current again that was before; `beginning`: of its name."""
        before = self._read_to_write()
        entries = () if before is None else before.pointer.entries
        found = {each.version: each for each in reversed(entries) if each.version.startswith(beginning)}
        if len(found) != 1:
            what = "no version" if not found else f"{len(found)} versions"
            raise CommandError(
                f"{what} of the bundle {self._bundle} begin with {beginning}: make dags ENV=... lists them"
            )
        ((version, entry),) = found.items()
        if version == entries[0].version:
            return Delivered(version=version, uploaded=0, is_new=False)
        self._contents(version, is_needed=True)
        self._move(before, version, files=entry.files)
        return Delivered(version=version, uploaded=0, is_new=True)

    def clean(self, keep: int, in_use: Iterable[str]) -> int:
        """Remove all versions but the last `keep` that were current and those in use; return how many were removed.

        The pointer says so first, so an upload that is under way is refused at its end. Without it files could be
        removed that such an upload counts on.
        """
        before = self._read_to_write()
        if before is None:
            return 0
        kept = before.pointer.kept(max(1, keep), in_use)
        entries = tuple(each for each in before.pointer.entries if each.version in kept)
        if entries == before.pointer.entries:
            return 0
        etag = self._replace(before, Pointer(entries=entries, cleaning_until=self._clock() + CLEAN_WITHIN_S))
        # What unfinished runs use may be long gone from the pointer's list.
        needed = {sha256 for version in kept for sha256 in self._contents(version)}
        prefix = names.manifests(self._bundle)
        gone = [key for key in self._keys(prefix) if key.removeprefix(prefix) not in kept]
        self._delete(gone)
        prefix = names.objects(self._bundle)
        self._delete([key for key in self._keys(prefix) if key.removeprefix(prefix) not in needed])
        self._replace(ReadPointer(pointer=before.pointer, etag=etag), Pointer(entries=entries))
        return len(gone)

    def _keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return [str(each["Key"]) for page in pages for each in page.get("Contents", [])]

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETED_AT_ONCE):
            some = [{"Key": key} for key in keys[start : start + DELETED_AT_ONCE]]
            answer = self._s3.delete_objects(Bucket=self._name, Delete={"Objects": some, "Quiet": True})
            if answer.get("Errors"):
                raise CommandError(
                    f"old versions of {self._bundle} cannot be removed: {answer['Errors'][0].get('Code')}"
                )

    def _read_to_write(self) -> ReadPointer | None:
        """Return the pointer. Raises CommandError while old versions are being removed."""
        read = self._read()
        if read is not None and (left_s := read.pointer.cleaning_until - self._clock()) > 0:
            raise CommandError(
                f"old versions of {self._bundle} are being removed: try again, in {left_s:.0f} s at most"
            )
        return read

    def _read(self) -> ReadPointer | None:
        try:
            return self._bucket.pointer(until=time.monotonic() + PATIENCE_S)
        except Missing:
            return None
        except (Unavailable, BadPointer) as error:
            raise CommandError(str(error)) from None

    def _contents(self, version: str, *, is_needed: bool = False) -> set[str]:
        """Return the hashes of the files that a version has; none if its manifest is not there, unless it is needed."""
        try:
            raw = self._bucket.manifest(version, until=time.monotonic() + PATIENCE_S)
            manifest: Manifest = parse_manifest(raw, version=version)
        except (Missing, BadManifest) as error:
            if is_needed:
                raise CommandError(f"version {version[:SHORT]} cannot come back: {error}") from None
            return set()
        except Unavailable as error:
            raise CommandError(str(error)) from None
        return {file.sha256 for file in manifest.files.values()}

    def _put_file(self, folder: Folder, path: str, sha256: str) -> None:
        self._put(names.object_key(self._bundle, sha256), folder.content(path))

    def _put(self, key: str, body: bytes, **condition: str) -> str:
        return str(self._s3.put_object(Bucket=self._name, Key=key, Body=body, **condition)["ETag"])

    def _move(self, before: ReadPointer | None, version: str, *, files: int) -> None:
        pointer = Pointer() if before is None else before.pointer
        moved = pointer.moved_to(Entry(version=version, at=self._clock(), files=files))
        self._replace(before, moved)

    def _replace(self, before: ReadPointer | None, pointer: Pointer) -> str:
        """Write the pointer if it is still the one of `before`; return its tag. Raises CommandError otherwise."""
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        try:
            return self._put(names.pointer_key(self._bundle), pointer.to_bytes(), **condition)
        except ClientError as error:
            if error.response["Error"].get("Code") in LOST:
                raise CommandError(
                    f"another upload to the bundle {self._bundle} came first, and its version is current: "
                    "look at it (make dags ENV=...), then upload again"
                ) from None
            raise
