"""A manifest: all files of one version of a bundle, by path. The hash of its bytes names the version.

A version that comes from git has its commit in the manifest, and before the hash in its name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

FORMAT = 1
MAX_FILES = 20_000
MAX_FILE_BYTES = 100 << 20
MAX_NAME_BYTES = 255  # of each part of a path, on Linux
EXECUTABLE = "x"
_HASH = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"(?:([0-9a-f]{40})-)?([0-9a-f]{64})")
SHORT = 12  # characters of a version that tell it from others
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadManifest(ValueError):
    """The bytes are no manifest, or are not those that the version names. The message is one line."""


def digest(content: bytes) -> str:
    """Return the SHA-256 of the bytes, in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_hash(text: str) -> bool:
    """Return whether the text is a SHA-256: 64 hexadecimal digits."""
    return _HASH.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Return whether the text is the name of a version: a SHA-256, after a commit and a dash if it is from git."""
    return _VERSION.fullmatch(text) is not None


def short(version: str) -> str:
    """Return what tells a version from others."""
    return version[:SHORT]


@dataclass(frozen=True, kw_only=True)
class File:
    """A file's content by its SHA-256, its size in bytes, and whether it may be executed."""

    sha256: str
    size: int
    is_executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The files by their path below the bundle's folder, with `/` between its parts, and git's commit or ""."""

    files: Mapping[str, File]
    commit: str = ""

    def to_bytes(self) -> bytes:
        """Return the manifest as it is stored: equal files give equal bytes."""
        files = {
            path: [file.sha256, file.size, *([EXECUTABLE] if file.is_executable else [])]
            for path, file in sorted(self.files.items())
        }
        record = {"format": FORMAT, "files": files, **({"commit": self.commit} if self.commit else {})}
        return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()

    @property
    def version(self) -> str:
        sha256 = digest(self.to_bytes())
        return f"{self.commit}-{sha256}" if self.commit else sha256


def parse_manifest(raw: bytes, *, version: str) -> Manifest:
    """Return the manifest of a version. Raises BadManifest, also for a path that would lead out of the folder."""
    found = _VERSION.fullmatch(version)
    if found is None or digest(raw) != found[2]:
        raise BadManifest(f"the manifest of version {version} is damaged")
    try:
        record = json.loads(raw)
        if record["format"] != FORMAT:
            raise BadManifest(f"version {version} has the format {record['format']!r}; this image reads {FORMAT}")
        files = {path: _file(entry) for path, entry in record["files"].items()}
        commit = record.get("commit", "")
        if commit != (found[1] or ""):
            raise BadManifest(f"version {version} has the commit {commit!r} in its manifest")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        if isinstance(error, BadManifest):
            raise
        raise BadManifest(f"the manifest of version {version} cannot be read: {error!r}") from None
    check_files(files)
    return Manifest(files=files, commit=commit)


def check_files(files: Mapping[str, File]) -> None:
    """Raise BadManifest, which names the file, unless the files can lie in one folder."""
    if len(files) > MAX_FILES:
        raise BadManifest(f"{len(files):,} files: a bundle has at most {MAX_FILES:,}")
    folders = {path[:at] for path in files for at, letter in enumerate(path) if letter == "/"}
    for path, file in files.items():
        parts = path.split("/")
        try:
            sizes = [len(part.encode()) for part in parts]
        except UnicodeEncodeError:
            raise BadManifest(f"the name {path!r} is not UTF-8") from None
        if any(part in ("", ".", "..") for part in parts) or _CONTROL.search(path):
            raise BadManifest(f"the name {path!r} is no path below the bundle's folder")
        if max(sizes) > MAX_NAME_BYTES:
            raise BadManifest(f"a part of the name {path!r} has more than {MAX_NAME_BYTES} bytes")
        if path in folders:
            raise BadManifest(f"{path!r} is both a file and a folder")
        if file.size > MAX_FILE_BYTES:
            raise BadManifest(f"{path!r} has {file.size:,} bytes: a file has at most {MAX_FILE_BYTES:,}")


def _file(entry: list[object]) -> File:
    sha256, size, *more = entry
    if not (isinstance(sha256, str) and is_hash(sha256) and type(size) is int and size >= 0):
        raise ValueError(f"an entry is {entry!r}")
    if more not in ([], [EXECUTABLE]):
        raise ValueError(f"an entry is {entry!r}")
    return File(sha256=sha256, size=size, is_executable=bool(more))
