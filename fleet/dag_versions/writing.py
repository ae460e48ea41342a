"""Writes the objects of a bundle; the pointer only if it is still the one that was read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from fleet.dag_versions import names
from fleet.dag_versions.bucket import BundleBucket, Missing, ReadPointer, Unavailable
from fleet.dag_versions.manifest import BadManifest, Manifest, parse_manifest, short
from fleet.dag_versions.pointer import BadPointer, Pointer

DELETED_AT_ONCE = 1000  # S3's own limit
PATIENCE_S = 20.0
# S3's answers to a condition that does not hold, to two conditional writes at the same moment, and to a condition on a
# pointer that is not there.
LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})


class Refused(Exception):
    """The bucket cannot be changed as asked. The message is one line, for who delivers."""


class Outdated(Exception):
    """The pointer is not the remembered one, and was replaced before this upload began."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The tag of an object that was written, and when: seconds since the epoch by S3's clock, to the second."""

    etag: str
    at: float


class WritableBucket:
    """One bundle of a bucket. Each method may raise Refused and what boto3 raises."""

    def __init__(self, s3: Any, bucket: str, bundle: str, *, clock: Callable[[], float]) -> None:
        self._s3, self._name, self._bundle, self._clock = s3, bucket, bundle, clock
        self._bucket = BundleBucket(bucket, bundle, client=s3)

    def read(self) -> ReadPointer | None:
        """Return the pointer; None if nothing was uploaded."""
        try:
            return self._bucket.pointer(until=time.monotonic() + PATIENCE_S)
        except Missing:
            return None
        except (Unavailable, BadPointer) as error:
            raise Refused(str(error)) from None

    def read_to_write(self) -> ReadPointer | None:
        """Return the pointer. Raises Refused while old versions are being removed."""
        read = self.read()
        if read is not None and (left_s := read.pointer.cleaning_until - self._clock()) > 0:
            raise Refused(f"old versions of {self._bundle} are being removed: try again, in {left_s:.0f} s at most")
        return read

    def manifest(self, version: str) -> Manifest | None:
        """Return the manifest of a version; None if it is not there whole."""
        try:
            return self.manifest_to_use(version)
        except (Missing, BadManifest):
            return None

    def manifest_to_use(self, version: str) -> Manifest:
        """Return the manifest of a version. Raises Missing and BadManifest."""
        try:
            raw = self._bucket.manifest(version, until=time.monotonic() + PATIENCE_S)
        except Unavailable as error:
            raise Refused(str(error)) from None
        return parse_manifest(raw, version=version)

    def put(self, key: str, body: bytes, **condition: str) -> Stored:
        """Write an object."""
        answer = self._s3.put_object(Bucket=self._name, Key=key, Body=body, **condition)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return Stored(etag=str(answer["ETag"]), at=parsedate_to_datetime(date).timestamp() if date else 0.0)

    def replace(self, before: ReadPointer | None, pointer: Pointer, *, began_at: float = 0.0) -> ReadPointer:
        """Write the pointer if it is still the one of `before`; return it with its tag. Raises Refused otherwise.

        Raises Outdated if what stands there was stored before `began_at`, in seconds since the epoch by S3's clock.
        """
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        try:
            stored = self.put(names.pointer_key(self._bundle), pointer.to_bytes(), **condition)
            return ReadPointer(pointer=pointer, etag=stored.etag)
        except ClientError as error:
            if error.response["Error"].get("Code") not in LOST:
                raise
        now = self.read()
        if now is not None and now.pointer == pointer:
            return now  # it was stored, its answer was lost, and boto3 sent it again
        if began_at and (now is None or now.stored_at < began_at):
            raise Outdated
        if now is None:
            raise Refused(f"the pointer of the bundle {self._bundle} was removed meanwhile: upload again")
        current = short(now.pointer.current.version) if now.pointer.current else "none"
        raise Refused(
            f"another upload to the bundle {self._bundle} came first, or a removal of old versions; current is "
            f"{current}: look at it (make dags ENV=...), then upload again"
        )

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin so."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return [str(each["Key"]) for page in pages for each in page.get("Contents", [])]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for start in range(0, len(keys), DELETED_AT_ONCE):
            some = [{"Key": key} for key in keys[start : start + DELETED_AT_ONCE]]
            answer = self._s3.delete_objects(Bucket=self._name, Delete={"Objects": some, "Quiet": True})
            if answer.get("Errors"):
                raise Refused(f"old versions of {self._bundle} cannot be removed: {answer['Errors'][0].get('Code')}")
