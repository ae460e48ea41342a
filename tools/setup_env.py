#!/usr/bin/env python3
"""Create the project's environments from their locks, with nothing but a bare Python at hand.

Standard library only, and readable by any Python 3: an unsupported one must get its one clear line, so newer
annotations are quoted.
Each environment carries the digest of what made it, so that a second call costs milliseconds and an
interrupted one is repeated.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

SUPPORTED = ((3, 11), (3, 12))
ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = {
    "dev": (".venv", "requirements/dev.txt"),
    "airflow": (".venv-airflow", "airflow_image/requirements.txt"),
    "checkov": (".venv-checkov", "requirements/checkov.txt"),
    "bench": (".venv-bench", "requirements/bench.txt"),
    "docs": (".venv-docs", "requirements/docs.txt"),
    "mutation": (".venv-mutation", "requirements/mutation.txt"),
}
# Made only by name, for the one command that needs it.
BY_NAME = ("mutation",)
STAMP = ".made-from"
# A running local stack keeps the packages that it began with: each lock has a folder of its own, and a link names the
# newest. The one before stays.
LINKED = ("airflow",)
# What the tools import from the image and from the functions, as these import it themselves.
OWN_PACKAGES = {"dev": (".", "airflow_image", "functions")}
NOT_FOUND = 127


def fail(message: str) -> NoReturn:
    """End with one line that says what is wrong and what to do."""
    raise SystemExit("setup: " + message)


def supported_python() -> str:
    """Return a supported interpreter: this one, otherwise the first on PATH that runs."""
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for major, minor in reversed(SUPPORTED):
        name = shutil.which(f"python{major}.{minor}")
        if name and subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return name
    fail(
        "Python {}.{} is not supported; install Python 3.11 or 3.12, or name one: "
        "make PYTHON=/path/to/python3.12 ...".format(*sys.version_info[:2])
    )


def run(argv: "list[str]", *, cwd: "str | None" = None) -> "tuple[int, str]":
    """Run a command quietly; on failure show the end of what it said."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=cwd)
    except FileNotFoundError:
        return NOT_FOUND, f"{argv[0]}: not found"
    return done.returncode, done.stdout


def lock_entry() -> "list[str]":
    """Return the lock's own lines for uv, hashes and all."""
    lines = (ROOT / "requirements/dev.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("uv=="))
    entry = [lines[start]]
    for line in lines[start + 1 :]:
        if not line.startswith("    --hash"):
            break
        entry.append(line)
    return entry


def is_locked_uv(program: "str | Path") -> bool:
    """Return whether the program is uv of the lock's version: another may resolve and install differently."""
    wanted = lock_entry()[0].split()[0].replace("uv==", "", 1)
    code, said = run([str(program), "--version"])
    return code == 0 and said.split()[:2] == ["uv", wanted]


def uv_requirement(folder: "str | Path") -> Path:
    """Write the lock's own entry for uv to a file that pip can install."""
    path = Path(folder) / "uv.txt"
    path.write_text("\n".join(lock_entry()).rstrip("\\ ") + "\n")
    return path


def debian_pip(folder: str) -> "Path | None":
    """Fetch pip's wheel as Debian packages it, without root: where python3 comes without pip and ensurepip."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    state = Path(folder) / "apt"
    (state / "lists/partial").mkdir(parents=True)
    (state / "cache/archives/partial").mkdir(parents=True)
    options = ["-qq", "-o", "Dir::State::lists=%s" % (state / "lists"), "-o", "Dir::Cache=%s" % (state / "cache")]
    options += ["-o", "APT::Sandbox::User={}".format("root") if os.getuid() == 0 else "Debug::NoLocking=true"]
    for command in (["update"], ["download", "python3-pip-whl"]):
        code, _ = run(["apt-get", *options, *command], cwd=folder)
        if code:
            return None
    for package in Path(folder).glob("python3-pip-whl_*.deb"):
        run(["dpkg-deb", "-x", str(package), str(Path(folder) / "pip")])
    return next((Path(folder) / "pip").rglob("pip-*.whl"), None)


def pip_commands(python: str, folder: str) -> "Iterator[list[str]]":
    """Yield each way this machine may have to run pip, cheapest first."""
    environment = Path(folder) / "pip-env"
    if run([python, "-m", "venv", str(environment)])[0] == 0:
        yield [str(environment / "bin/python"), "-m", "pip"]
    if run([python, "-m", "pip", "--version"])[0] == 0:
        yield [python, "-m", "pip"]
    wheel = debian_pip(folder)
    if wheel:
        yield [python, f"{wheel}/pip"]


def find_uv(python: str) -> str:
    """Return uv of the lock's version: from .venv, from PATH, or installed into .local/uv by pip."""
    own = ROOT / ".local/uv/bin/uv"
    for candidate in (ROOT / ".venv/bin/uv", own, shutil.which("uv")):
        if candidate and is_locked_uv(candidate):
            return str(candidate)
    said = "no pip found"
    with tempfile.TemporaryDirectory() as folder:
        requirement = uv_requirement(folder)
        for pip in pip_commands(python, folder):
            target = ["--target", str(ROOT / ".local/uv"), "--upgrade"]
            code, said = run([*pip, "install", "-q", *target, "--require-hashes", "-r", str(requirement)])
            if code == 0:
                return str(own)
    fail(f"could not install uv ({last_line(said)}); install python3-venv or uv, then try again")


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["no message"])[-1]


def make(name: str, python: str) -> None:
    """Create one environment, unless it stands and was made from this very lock by this very Python."""
    folder, lock = ENVIRONMENTS[name]
    target = ROOT / folder
    own_packages = "".join(f"{ROOT / each}\n" for each in OWN_PACKAGES.get(name, ()))
    made_from = hashlib.sha256((ROOT / lock).read_bytes() + python.encode() + own_packages.encode()).hexdigest()
    stamp = target / STAMP
    if stamp.is_file() and stamp.read_text() == made_from:
        return
    print(f"setup: installing {folder} from {lock}", flush=True)
    uv = find_uv(python)
    link, target = target, ROOT / f"{folder}-{made_from[:12]}" if name in LINKED else target
    # uv itself may live in the environment that is made anew.
    with tempfile.TemporaryDirectory() as copy:
        uv = shutil.copy2(uv, copy)
        code, said = run([uv, "venv", "-q", "--clear", "--python", python, str(target)])
        if code == 0:
            install = ["pip", "install", "-q", "--require-hashes", "--compile-bytecode", "-r", lock]
            code, said = run([uv, *install, "--python", str(target / "bin/python")], cwd=str(ROOT))
    if code:
        fail(f"{folder} could not be installed from {lock}: {last_line(said)}")
    for site in target.glob("lib/python3*/site-packages"):
        (site / "own-packages.pth").write_text(own_packages)
    (target / STAMP).write_text(made_from)
    if link != target:
        point(link, target)


def point(link: Path, target: Path) -> None:
    """Let the link name the folder, and remove the folders of the same name but this one and the one before."""
    kept = {target.name, os.path.basename(os.path.realpath(link))}  # noqa: PTH119 - the link may lead nowhere
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # made before there were links
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name)
    fresh.replace(link)
    for old in link.parent.glob(link.name + "-*"):
        if old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Create the environments named on the command line, by default all but those that are made by name."""
    names = sys.argv[1:] or [name for name in ENVIRONMENTS if name not in BY_NAME]
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown:
        fail("unknown environment {}; there are: {}".format(", ".join(unknown), ", ".join(ENVIRONMENTS)))
    python = supported_python()
    if python != sys.executable:
        os.execv(python, [python, str(Path(__file__).resolve()), *names])  # noqa: S606 - no shell is the point
    (ROOT / ".local").mkdir(exist_ok=True)
    with (ROOT / ".local/setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names:
            make(name, python)


if __name__ == "__main__":
    main()
