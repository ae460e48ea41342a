"""Reads a folder of DAGs: which files belong to a version, and why it is not delivered."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.dag_versions.manifest import MAX_FILE_BYTES, BadManifest, File, Manifest, check_files, digest
from project.errors import CommandError

# What Python, git and editors make: none of it is code, and a cache would make each upload another version.
IGNORED_FOLDERS = frozenset(
    {"__pycache__", ".git", ".hg", ".svn", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
IGNORED_SUFFIXES = (".pyc", ".pyo", "~", ".swp")
OWNER_MAY_EXECUTE = 0o100


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files of a folder by their path in the bundle, and where each lies."""

    manifest: Manifest
    places: Mapping[str, Path]

    def content(self, path: str) -> bytes:
        """Return a file's content. Raises CommandError if it is no longer what the manifest says."""
        try:
            content = self.places[path].read_bytes()
        except OSError as error:
            raise CommandError(f"{self.places[path]} cannot be read: {error.strerror}") from None
        if digest(content) != self.manifest.files[path].sha256:
            raise CommandError(f"{self.places[path]} was changed during the upload: upload again")
        return content


def read_folder(root: Path) -> Folder:
    """Return what an upload of the folder would hold. Raises CommandError, which says what cannot be delivered.

    A link to a file counts as the file; a link to a folder is refused, because it would lead elsewhere on a worker.
    """
    if not root.is_dir():
        raise CommandError(f"{root} is no folder: DAGS is the folder that has the DAG files")
    files: dict[str, File] = {}
    places: dict[str, Path] = {}
    try:
        for place in _files(root):
            path = place.relative_to(root).as_posix()
            size = place.stat().st_size
            if size > MAX_FILE_BYTES:
                raise CommandError(f"{place} has {size:,} bytes: a file of a bundle has at most {MAX_FILE_BYTES:,}")
            content = place.read_bytes()
            is_executable = bool(place.stat().st_mode & OWNER_MAY_EXECUTE)
            files[path] = File(sha256=digest(content), size=len(content), is_executable=is_executable)
            places[path] = place
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}") from None
    try:
        check_files(files)
    except BadManifest as error:
        raise CommandError(f"{root}: {error}") from None
    if not any(path.endswith((".py", ".zip")) for path in files):
        raise CommandError(f"{root} has no Python file: an upload would remove all DAGs of the bundle")
    return Folder(manifest=Manifest(files=files), places=places)


def _files(root: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(set(folders) - IGNORED_FOLDERS)
        for name in folders:
            if (Path(here) / name).is_symlink():
                raise CommandError(f"{Path(here) / name} is a link to a folder: put the folder itself there")
        for name in sorted(names):
            if not name.endswith(IGNORED_SUFFIXES):
                place = Path(here) / name
                if not place.is_file():
                    raise CommandError(f"{place} is no file, or a link that leads nowhere: remove it")
                yield place


def _raise(error: OSError) -> None:
    raise error
