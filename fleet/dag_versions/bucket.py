"""Reads a bundle from the bucket: short time-outs, retries within a limit, and reasons that people understand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleet.dag_versions import names
from fleet.dag_versions.pointer import Pointer, parse_pointer

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 2.0, 5.0
PAUSE_S, MAX_PAUSE_S = 0.5, 8.0
CONNECTIONS = 16
_UNCHANGED = 304
_MISSING = frozenset({"NoSuchKey", "404"})


class Unavailable(Exception):
    """The bucket does not give what is asked for, and may do so later. The message is one line."""


class Missing(Exception):
    """The bucket is there, and what is asked for is not. The message is one line."""


@dataclass(frozen=True, kw_only=True)
class ReadPointer:
    """A pointer with the tag by which S3 knows its content.

    `stored_at`: when it was stored, seconds since the epoch by S3's clock, to the second; 0 if that is unknown.
    """

    pointer: Pointer
    etag: str
    stored_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Object:
    body: bytes
    etag: str
    stored_at: float


class BundleBucket:
    """The objects of one bundle. Nothing is imported or connected before the first request."""

    def __init__(
        self, bucket: str, bundle: str, *, clock: Callable[[], float] = time.monotonic, client: Any = None
    ) -> None:
        self._bucket, self._bundle, self._clock = bucket, bundle, clock
        self._client: Any = client

    def pointer(self, *, unless: str | None = None, until: float = 0.0) -> ReadPointer | None:
        """Return the pointer; None if its tag is still `unless`.

        Raises Missing if nothing was ever uploaded, Unavailable once `until` has passed by the clock, and BadPointer.
        """
        condition = {"IfNoneMatch": unless} if unless else {}
        found = self._patiently(names.pointer_key(self._bundle), until=until, **condition)
        if found is None:
            return None
        return ReadPointer(pointer=parse_pointer(found.body), etag=found.etag, stored_at=found.stored_at)

    def manifest(self, version: str, *, until: float) -> bytes:
        """Return the manifest of a version. Raises Missing, and Unavailable once `until` has passed by the clock."""
        return self._content(names.manifest_key(self._bundle, version), until=until)

    def content(self, sha256: str, *, until: float) -> bytes:
        """Return the content of a file. Raises Missing, and Unavailable once `until` has passed by the clock."""
        return self._content(names.object_key(self._bundle, sha256), until=until)

    def _content(self, key: str, *, until: float) -> bytes:
        found = self._patiently(key, until=until)
        if found is None:
            raise Unavailable(f"s3://{self._bucket}/{key}: S3 answers that it has not changed, which was not asked")
        return found.body

    def _patiently(self, key: str, *, until: float, **condition: str) -> _Object | None:
        """Return an object, after any number of attempts until `until`; None if the condition does not hold."""
        pause = PAUSE_S
        while True:
            try:
                return self._get(key, **condition)
            except Unavailable:
                if self._clock() + pause >= until:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)

    def _get(self, key: str, **condition: str) -> _Object | None:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        where = f"s3://{self._bucket}/{key}"
        try:
            answer = self._connected().get_object(Bucket=self._bucket, Key=key, **condition)
            stored_at = answer["LastModified"].timestamp()
            return _Object(body=answer["Body"].read(), etag=answer["ETag"], stored_at=stored_at)
        except ClientError as error:
            if error.response["ResponseMetadata"].get("HTTPStatusCode") == _UNCHANGED:
                return None
            code = error.response["Error"].get("Code", "")
            if code in _MISSING:
                raise Missing(f"{where} does not exist") from None
            raise Unavailable(f"{where}: S3 answers {code}: {error.response['Error'].get('Message', '')}") from None
        except (BotoCoreError, HTTPClientError, OSError) as error:
            # A body that breaks off raises urllib3's own errors, which botocore turns into these.
            raise Unavailable(f"{where}: {' '.join(str(error).split())}") from None

    def _connected(self) -> Any:
        if self._client is None:
            import boto3
            from botocore.config import Config

            session: Any = boto3.session.Session()
            self._client = session.client(
                "s3",
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT_S,
                    read_timeout=READ_TIMEOUT_S,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=CONNECTIONS,
                ),
            )
        return self._client
