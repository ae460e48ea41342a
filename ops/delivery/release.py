"""A release: an image by its digest, with the revision of Airflow's database that its code needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


class DeliveryError(Exception):
    """A delivery cannot go on; the message is one line for the operator."""


class Refused(DeliveryError):
    """Nothing was changed, because the request is not safe, or not known to be safe."""


class Failed(DeliveryError):
    """A change was begun and did not end well."""


# A tag can be moved to another image; a digest cannot.
PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
REVISION = re.compile(r"[0-9a-z_]{4,64}")


@dataclass(frozen=True, kw_only=True)
class Release:
    """`version`: as the version check shows it. `image`: repository@sha256:digest.

    `revision`: the database's after the image's `airflow db migrate`. `lineage`: all revisions that the image knows,
    the latest first. Airflow can migrate a database from any of them to `revision`, and from no other.
    """

    version: str
    image: str
    airflow_version: str
    revision: str
    lineage: tuple[str, ...]

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.version):
            raise Refused(f"{self.version!r} is not a version: use letters, digits and _ . + - (at most 128)")
        if not PINNED.fullmatch(self.image):
            raise Refused(f"{self.image!r} does not name an image by its digest (repository@sha256:...)")
        if not self.airflow_version or not all(map(REVISION.fullmatch, self.lineage)):
            raise Refused(f"release {self.version} does not say which Airflow and which revisions are in its image")
        if self.revision not in self.lineage:
            raise Refused(f"release {self.version} does not know its own revision {self.revision!r}")

    def to_record(self) -> dict[str, Any]:
        """Return the release for JSON."""
        return {**asdict(self), "lineage": list(self.lineage)}

    @classmethod
    def from_record(cls, record: Any) -> Release:
        """Read what `to_record` returned. Raises Refused when malformed."""
        try:
            given: Mapping[str, Any] = {name: record[name] for name in cls.__dataclass_fields__}
            return cls(**{**given, "lineage": tuple(given["lineage"])})
        except (KeyError, TypeError, AttributeError):
            raise Refused("the record of a release is malformed") from None
