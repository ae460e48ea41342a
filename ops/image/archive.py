"""Read an image as docker, podman and buildah save it: a docker-archive."""

from __future__ import annotations

import contextlib
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from project.errors import CommandError

GZIP_WINDOW = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 6  # what docker and buildah push with
CHUNK_BYTES = 1 << 20
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open the image saved at `path`. Raises CommandError when it is not such an archive."""
    with contextlib.ExitStack() as stack:
        try:
            yield Archive(stack.enter_context(tarfile.open(path)))
        except (tarfile.TarError, KeyError, ValueError) as error:
            raise CommandError(f"{path} is not the archive of one image: {error}") from error


class Archive:
    """One saved image; a file of the archive that is missing raises KeyError."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        (self._manifest,) = json.loads(self._member("manifest.json").read())

    def compressed_bytes(self) -> int:
        """Return the bytes that an ECS task pulls: each layer as it is if compressed, else compressed with gzip."""
        return sum(_compressed_bytes(self._member(layer)) for layer in self._manifest["Layers"])

    def read(self, path: str) -> bytes:
        """Return a file from the top layer that has it; `path` is absolute. Raises CommandError when none has it."""
        wanted = path.lstrip("/")
        for layer in reversed(self._manifest["Layers"]):
            with tarfile.open(fileobj=self._member(layer)) as files:
                for member in files:
                    if member.name.removeprefix("./") == wanted and (file := files.extractfile(member)) is not None:
                        return file.read()
        raise CommandError(f"the image has no file {path}")

    def _member(self, name: str) -> IO[bytes]:
        file = self._tar.extractfile(name)
        if file is None:
            raise KeyError(name)
        return file


def _compressed_bytes(layer: IO[bytes]) -> int:
    if layer.read(len(ZSTD_MAGIC)).startswith((GZIP_MAGIC, ZSTD_MAGIC)):
        return layer.seek(0, 2)
    layer.seek(0)
    gzip = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW)
    total = 0
    while chunk := layer.read(CHUNK_BYTES):
        total += len(gzip.compress(chunk))
    return total + len(gzip.flush())
