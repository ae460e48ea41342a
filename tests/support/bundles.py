"""A bundle in the local S3: a bucket of its own for each test, folders of DAGs, and faults on the way."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.dag_versions.delivery import LATELY_S, Delivery
from fleet.dag_versions.memory import Memory
from ops.dags.folder import Folder, read_folder

_numbers = itertools.count(1)
BUNDLE = "dags"
LATER_S = LATELY_S + 60  # no version but the current one was current lately then


def folder(root: Path, files: Mapping[str, str]) -> Folder:
    """Write the files into a new folder below `root` and read it."""
    made = root / f"folder-{next(_numbers)}"
    for path, text in files.items():
        place = made / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return read_folder(made)


@dataclass(kw_only=True)
class Cut:
    """A client of S3 that breaks off: `put_object` fails from its call number `after` on. Calls are counted.

    `refused`: the keys that were not written.
    """

    s3: Any
    after: int = 1_000_000
    calls: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def get_object(self, **arguments: Any) -> Any:
        self.calls.append("get")
        return self.s3.get_object(**arguments)

    def put_object(self, **arguments: Any) -> Any:
        if self.calls.count("put") >= self.after:
            self.refused.append(str(arguments["Key"]))
            raise ConnectionError("cut, on purpose")
        self.calls.append("put")
        return self.s3.put_object(**arguments)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle of a bucket that only this test has."""

    s3: Any
    bucket: str

    @classmethod
    def new(cls, s3: Any, region: str) -> Bundle:
        bucket = f"dags-{next(_numbers)}"
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        return cls(s3=s3, bucket=bucket)

    def delivery(self, s3: Any = None, *, memory: Memory | None = None) -> Delivery:
        return Delivery(s3 or self.s3, self.bucket, BUNDLE, memory=memory)

    def later(self, s3: Any = None, *, memory: Memory | None = None) -> Delivery:
        """Return the delivery after a pause of LATER_S."""
        clock = lambda: time.time() + LATER_S  # noqa: E731
        return Delivery(s3 or self.s3, self.bucket, BUNDLE, memory=memory, clock=clock)

    def stored(self) -> set[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {each["Key"] for each in found}
