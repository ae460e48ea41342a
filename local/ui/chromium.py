"""Finds a Chromium, or installs Debian's where that is allowed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-liberation")
INSTALLS_WITHIN_S = 240


def find_chromium() -> str | None:
    """Return its path; None if there is none and it cannot be installed."""
    # One process installs it; the others wait and find it.
    with Path(tempfile.gettempdir(), f"install-chromium-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _on_path() or (_on_path() if _install() else None)


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def _install() -> bool:
    """Install Debian's package, which takes root and apt-get; return whether that succeeded."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "--no-install-recommends", *PACKAGES]
    for command in (["apt-get", "update", "-qq"], install):
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=INSTALLS_WITHIN_S, check=False)
        except subprocess.TimeoutExpired:
            return False
        if done.returncode:
            return False
    return True
