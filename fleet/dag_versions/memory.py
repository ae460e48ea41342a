"""Remembers what the last upload from this checkout left in the bucket, which saves the next one from asking.

What is remembered may be out of date. S3 tells: it replaces the pointer only if that still has the remembered tag, and
every upload, return and removal of old versions gives it another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fleet.dag_versions.bucket import ReadPointer
from fleet.dag_versions.manifest import BadManifest, Manifest, parse_manifest
from fleet.dag_versions.pointer import BadPointer, parse_pointer


@dataclass(frozen=True, kw_only=True)
class Left:
    """The pointer with its tag, and the manifest of the version that is current by it."""

    read: ReadPointer
    manifest: Manifest


class Memory:
    """The memory of one bundle of one bucket: a file, or nothing without a `path`."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def recall(self) -> Left | None:
        """Return what is remembered; None if there is nothing, or nothing that can be read."""
        if self._path is None:
            return None
        try:
            record = json.loads(self._path.read_text())
            pointer = parse_pointer(record["pointer"])
            if pointer.current is None or not isinstance(record["etag"], str):
                return None
            manifest = parse_manifest(record["manifest"].encode(), version=pointer.current.version)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, BadPointer, BadManifest):
            return None
        return Left(read=ReadPointer(pointer=pointer, etag=record["etag"]), manifest=manifest)

    def keep(self, left: Left) -> None:
        """Remember this. A disk that does not take it is no failure: the next upload asks the bucket."""
        if self._path is None:
            return
        record = {
            "etag": left.read.etag,
            "pointer": left.read.pointer.to_bytes().decode(),
            "manifest": left.manifest.to_bytes().decode(),
        }
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, fresh = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
            with os.fdopen(descriptor, "w") as file:
                json.dump(record, file)
            Path(fresh).replace(self._path)

    def forget(self) -> None:
        """Remember nothing."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
