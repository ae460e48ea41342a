"""Local images: a snapshot of airflow_image/ under a tag, with the environment of the image's ENV."""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.versions import CodeHash
from project import paths
from project.errors import CommandError

AUTHORITIES = Path("authorities/rds.pem")  # where `make image` puts those of RDS
CONTENT = "CONTENT"  # a file in the image: the hash of what it was built from
PACKAGES = "PACKAGES"  # a file in the image: the folder of its packages, of the lock that it was built with
NOT_IN_IMAGE = shutil.ignore_patterns("__pycache__", "*.pyc", "Dockerfile", "requirements.*", "build.*", "authorities")


class UnknownImage(CommandError):
    """No image of that name was built on this machine."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A built image: its files, its version, and the Python environment from its lock."""

    root: Path
    version: str
    packages: Path

    @property
    def entrypoint(self) -> Path:
        """The program that gets a container's command."""
        return self.root / "entrypoint"

    def environment(self, home: Path) -> dict[str, str]:
        """Return the image's ENV, with `home` in place of the container's writable layer."""
        return {
            "PATH": f"{self.packages / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "TMPDIR": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONFIG": str(self.root / "airflow.cfg"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.root / "plugins"),
            "IMAGE_VERSION": self.version,
        }


def folder(uri: str) -> Path:
    """Return the folder of the image `uri`, such as `airflow-on-ecs:local`."""
    return paths.IMAGES / uri.rsplit("/", 1)[-1].replace(":", "_")


def copy_sources(target: Path, *, source: Path = paths.IMAGE_SOURCE) -> None:
    """Copy what the image holds of the project's own files to the new folder `target`, without the authorities."""
    shutil.copytree(source, target, ignore=NOT_IN_IMAGE)
    shutil.copytree(paths.FLEET, target / paths.FLEET.name, ignore=NOT_IN_IMAGE)


def content_of(source: Path = paths.IMAGE_SOURCE) -> str:
    """Return a hash of all that an image of `source` would hold of the project's files, and of its lock of packages."""
    with tempfile.TemporaryDirectory(prefix="image-content-") as folder:
        copied = Path(folder, "image")
        copy_sources(copied, source=source)
        return _content_of_copy(copied, source)


def _content_of_copy(copied: Path, source: Path) -> str:
    files = CodeHash({"image": copied}).read()
    lock = source / "requirements.txt"
    packages = lock.read_bytes() if lock.exists() else b""
    return hashlib.sha256(files.encode() + packages).hexdigest()


def compile_sources(root: Path) -> None:
    """Compile the files: containers' users cannot write there, and without bytecode each start would compile again."""
    compileall.compile_dir(root, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


def build(uri: str, version: str, *, source: Path = paths.IMAGE_SOURCE) -> Image:
    """Snapshot `source` as `uri`; a running container keeps the files it started with.

    An image for AWS brings the certificate authorities of RDS; this one brings those of the local database.
    """
    target = folder(uri)
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    copy_sources(fresh, source=source)
    content = _content_of_copy(fresh, source)  # before there is anything else in it
    (fresh / AUTHORITIES.parent).mkdir()
    shutil.copy(paths.AUTHORITY, fresh / AUTHORITIES)
    (fresh / "VERSION").write_text(version)
    (fresh / CONTENT).write_text(content)
    (fresh / PACKAGES).write_text(str(paths.AIRFLOW_ENVIRONMENT.resolve()))
    compile_sources(fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return load(uri)


def load(uri: str) -> Image:
    """Return the image built under `uri`. Raises UnknownImage."""
    root = folder(uri)
    try:
        version = (root / "VERSION").read_text()
    except FileNotFoundError:
        raise UnknownImage(f"image {uri} was not built on this machine") from None
    packages = root / PACKAGES
    return Image(
        root=root,
        version=version,
        packages=Path(packages.read_text()) if packages.exists() else paths.AIRFLOW_ENVIRONMENT,
    )


def built_of(content: str) -> list[str]:
    """Return the tags of the images that have this content."""
    found = (path.parent for path in paths.IMAGES.glob(f"*/{CONTENT}") if path.read_text() == content)
    return sorted(folder.name.rpartition("_")[2] for folder in found)
