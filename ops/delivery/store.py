"""Stores releases and ledgers in the pipeline's bucket."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from ops.delivery.ledger import Ledger
from ops.delivery.release import Refused, Release

RELEASES = "delivery/releases/{}.json"
LEDGERS = "delivery/environments/{}.json"
MISSING = ("NoSuchKey", "404")


class Store:
    """Releases and ledgers in S3. Every method may raise what boto3 raises, and Refused for a malformed entry."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self.bucket = s3, bucket

    def add(self, release: Release) -> None:
        """Store a release. Raises Refused when its version already names another one: a version is built once."""
        kept = self.find(release.version)
        if kept is not None and kept != release:
            raise Refused(f"version {release.version} is already another release, {kept.image}: choose another version")
        self._write(RELEASES.format(release.version), release.to_record())

    def find(self, version: str) -> Release | None:
        """Return the release of that version, or None."""
        kept = self._read(RELEASES.format(version))
        return None if kept is None else Release.from_record(kept)

    def release(self, version: str) -> Release:
        """Return the release of that version. Raises Refused when there is none."""
        found = self.find(version)
        if found is None:
            raise Refused(f"there is no release {version}: build it with make release VERSION={version} REPOSITORY=...")
        return found

    def ledger(self, environment: str) -> Ledger:
        """Return the environment's ledger, empty when nothing was deployed to it."""
        kept = self._read(LEDGERS.format(environment))
        return Ledger(environment=environment) if kept is None else Ledger.from_record(kept, environment=environment)

    def keep(self, ledger: Ledger) -> None:
        self._write(LEDGERS.format(ledger.environment), ledger.to_record())

    def _read(self, key: str) -> Any:
        try:
            return json.load(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"])
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        except ValueError:
            raise Refused(f"s3://{self.bucket}/{key} is not JSON") from None

    def _write(self, key: str, record: Any) -> None:
        body = json.dumps(record, indent=1)
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")
