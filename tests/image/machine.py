"""What this machine has for building images and running them, apart from the images that its user keeps."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".local" / "image-test"
PROGRAMS = ("buildah", "podman", "runc")
DEBIAN_PACKAGES = ("buildah", "podman", "runc", "catatonit", "debootstrap")
# A file system that cannot stack layers, such as a container's own, can at least copy them.
STORAGE_DRIVERS = ("overlay", "vfs")
PROCESSES = 10_000
OFFICIAL_BASE = "docker.io/library/python:3.12-slim-bookworm"
OWN_BASE = "localhost/airflow-on-ecs-base:bookworm"
OWN_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
PULL_TIMEOUT_S = 60
BOOTSTRAP_TIMEOUT_S = 900
# A build has the base's certificates only: those of this machine may hold the authority of a network's own door.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class CannotBuild(Exception):
    """Why no image can be built here."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`environment` makes buildah and podman keep everything in FOLDER, and use nothing that needs systemd."""

    environment: dict[str, str]

    def run(self, *command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command in that environment, whatever its exit code."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=timeout_s
        )

    def can_limit_memory(self) -> bool:
        """Whether podman can give containers memory limits here."""
        asked = self.run("podman", "info", "--format", "json")
        return "memory" in json.loads(asked.stdout)["host"]["cgroupControllers"]

    def has_image(self, reference: str) -> bool:
        """Whether `reference` is stored here."""
        return self.run("buildah", "inspect", "--type", "image", reference).returncode == 0


def prepare() -> Machine:
    """Return the machine, ready to build and run. CannotBuild says what it lacks."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise CannotBuild(
            f"not installed: {', '.join(missing)} (Debian: apt-get install buildah podman runc debootstrap)"
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    for driver in STORAGE_DRIVERS:
        machine = Machine(environment=_environment(driver))
        asked = machine.run("podman", "info")
        if asked.returncode == 0:
            return machine
    raise CannotBuild(f"podman does not work here: {asked.stderr.strip()}")


def find_base(machine: Machine) -> str:
    """Return a base image: the official one if its registry answers, else Debian's own Python from its packages."""
    for known in (OFFICIAL_BASE, OWN_BASE):
        if machine.has_image(known):
            return known
    try:
        pulled = machine.run("buildah", "pull", "--quiet", OFFICIAL_BASE, timeout_s=PULL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pulled = None
    if pulled is not None and pulled.returncode == 0:
        return OFFICIAL_BASE
    _bootstrap(machine)
    return OWN_BASE


def build_options() -> tuple[str, ...]:
    """Return the options that let a build reach what this machine can reach."""
    return ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro") if CERTIFICATES.exists() else ()


def _bootstrap(machine: Machine) -> None:
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        raise CannotBuild(
            f"{OFFICIAL_BASE} cannot be pulled, and a base of Debian's packages needs root and debootstrap"
        )
    system = FOLDER / "base"
    shutil.rmtree(system, ignore_errors=True)
    # debootstrap mounts the machine's /proc in the folder. In namespaces of its own, nothing of it outlives a time-out.
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    make = ("debootstrap", "--variant=minbase", f"--include={OWN_BASE_PACKAGES}", "bookworm", str(system))
    try:
        made = machine.run(*alone, *make, timeout_s=BOOTSTRAP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"debootstrap did not end within {BOOTSTRAP_TIMEOUT_S} s") from None
    if made.returncode:
        raise CannotBuild(f"debootstrap failed: {made.stdout.strip().splitlines()[-1]}")
    shutil.rmtree(system / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(system / "var/lib/apt/lists", ignore_errors=True)
    container = machine.run("buildah", "from", "scratch").stdout.strip()
    for step in (["add", "--quiet", container, str(system), "/"], ["commit", "--quiet", "--rm", container, OWN_BASE]):
        done = machine.run("buildah", *step, timeout_s=BOOTSTRAP_TIMEOUT_S)
        if done.returncode:
            raise CannotBuild(f"buildah could not store a base: {done.stderr.strip()}")
    shutil.rmtree(system)


def _environment(driver: str) -> dict[str, str]:
    storage, engine = FOLDER / "storage.conf", FOLDER / "containers.conf"
    storage.write_text(
        f'[storage]\ndriver = "{driver}"\n'
        f'graphroot = "{FOLDER / f"images-{driver}"}"\nrunroot = "{FOLDER / f"running-{driver}"}"\n'
    )
    # More than this process may have itself would be refused.
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    engine.write_text(
        "[containers]\n"
        f'default_ulimits = ["nofile={files}:{files}", "nproc={PROCESSES}:{PROCESSES}"]\n'
        "[engine]\n"
        'cgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
    )
    return {
        **os.environ,
        "CONTAINERS_STORAGE_CONF": str(storage),
        "CONTAINERS_CONF": str(engine),
        "BUILDAH_ISOLATION": "chroot",
    }
