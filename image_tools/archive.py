"""Reads an image as docker, podman and buildah save it: a docker-archive."""

from __future__ import annotations

import json
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from image_tools.errors import ImageError

GZIP_WINDOW = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 6  # what docker and buildah push with
CHUNK_BYTES = 1 << 20
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Archive:
    """One saved image, open until closed; for `with`. Raises ImageError for what is no such archive."""

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path)  # noqa: SIM115 - closed by __exit__
            (self._manifest,) = json.loads(self._member("manifest.json").read())
        except (tarfile.TarError, KeyError, ValueError) as error:
            raise ImageError(f"{path} is not the archive of one image: {error}") from error

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def config(self) -> dict[str, Any]:
        """What the image says of its containers: `User`, `Env`, `Labels`, `Entrypoint`, `Volumes`..."""
        found: dict[str, Any] = json.loads(self._member(self._manifest["Config"]).read())["config"]
        return found

    def compressed_bytes(self) -> int:
        """What a registry stores and a task pulls: each layer as it is if compressed, else through gzip."""
        return sum(_compressed_bytes(self._member(layer)) for layer in self._manifest["Layers"])

    def read(self, path: str) -> bytes:
        """A file as the uppermost layer that holds it has it; `path` is absolute. ImageError when none does."""
        wanted = path.lstrip("/")
        for layer in reversed(self._manifest["Layers"]):
            with tarfile.open(fileobj=self._member(layer)) as files:
                for member in files:
                    if member.name.removeprefix("./") == wanted and (file := files.extractfile(member)) is not None:
                        return file.read()
        raise ImageError(f"the image has no file {path}")

    def _member(self, name: str) -> IO[bytes]:
        """Raises KeyError when there is none."""
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
