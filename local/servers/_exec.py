"""Become another program that ends with the process that asked for it. process.spawn runs this script.

Usage: _exec.py PARENT_PID DEATH_SIGNAL UID GID REVEALED GROUP PROGRAM [ARGUMENT...]

UID and GID: a number, or - for no change. REVEALED: a JSON list of absolute paths that the program must reach. Where a
folder above one of them is closed to others, the program gets a mount namespace in which that folder holds nothing but
the revealed paths. GROUP: the file through which the program joins a control group, or - for none.

This is no `preexec_fn`, because Python code between fork and exec may deadlock in a parent with threads.
"""

import ctypes
import json
import os
import signal
import stat
import sys
from pathlib import Path

CLONE_NEWNS = 0x20000  # linux/sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
COULD_NOT_RUN = 127  # the code that a shell uses


def main() -> None:
    parent, death_signal, uid, gid, revealed, group, *argv = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    # Not os.environ: in the C locale Python adds LC_CTYPE to it (PEP 538), which children would inherit.
    given = Path("/proc/self/environ").read_bytes().split(b"\0")
    environment = dict(variable.split(b"=", 1) for variable in given if b"=" in variable)
    if group != "-":
        Path(group).write_text(str(os.getpid()))  # before the change of user, and before there are children
    if closed := _closed_folders(json.loads(revealed)):
        _reveal(libc, closed)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After the change of user, which clears the death signal.
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        sys.exit(f"{argv[0]}: prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    # The parent may have ended before the signal was set.
    if os.getppid() != int(parent):
        os._exit(COULD_NOT_RUN)
    # Python ignores these two signals, and exec keeps ignored signals ignored.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execve(argv[0], argv, environment)  # noqa: S606 - no shell is the point
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(COULD_NOT_RUN)


def _closed_folders(revealed: list[str]) -> dict[str, list[str]]:
    """Return the revealed paths by the topmost folder above them that others cannot enter."""
    found: dict[str, list[str]] = {}
    for path in revealed:
        for folder in reversed(Path(path).parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                found.setdefault(str(folder), []).append(path)
                break
    return found


def _reveal(libc: ctypes.CDLL, closed: dict[str, list[str]]) -> None:
    """Cover each closed folder by an empty one that others can enter, and mount the revealed paths into it."""

    def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
        if libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) != 0:
            sys.exit(f"mount {target}: {os.strerror(ctypes.get_errno())}")

    if libc.unshare(CLONE_NEWNS) != 0:
        sys.exit(f"unshare(CLONE_NEWNS): {os.strerror(ctypes.get_errno())}")
    here = os.getcwd()  # noqa: PTH109 - a string, to return to
    mount("none", "/", "", MS_REC | MS_PRIVATE, "")
    for folder, paths in closed.items():
        opened = {path: os.open(path, os.O_PATH) for path in paths}
        mount("none", folder, "tmpfs", 0, "mode=755,size=1m")
        for path, descriptor in opened.items():
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                target.mkdir(exist_ok=True)
            else:
                target.touch()
            mount(f"/proc/self/fd/{descriptor}", path, "", MS_BIND | MS_REC, "")
            os.close(descriptor)
    os.chdir(here)


if __name__ == "__main__":
    main()
