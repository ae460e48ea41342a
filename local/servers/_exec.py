"""Become another program that ends with the process that asked for it. process.spawn runs this script.

Usage: _exec.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT...]     UID and GID: a number, or - for no change

This is no `preexec_fn`, because Python code between fork and exec may deadlock in a parent with threads.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
COULD_NOT_RUN = 127  # the code that a shell uses


def main() -> None:
    parent, death_signal, uid, gid, *argv = sys.argv[1:]
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # Not os.environ: in the C locale Python adds LC_CTYPE to it (PEP 538), which children would inherit.
    given = Path("/proc/self/environ").read_bytes().split(b"\0")
    environment = dict(variable.split(b"=", 1) for variable in given if b"=" in variable)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After the change of user, which clears the death signal.
    if prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
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


if __name__ == "__main__":
    main()
