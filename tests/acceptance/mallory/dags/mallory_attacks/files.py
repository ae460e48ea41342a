"""Attacks by files: those of other tasks, and code that other processes would load."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from mallory_attacks import loot
from mallory_attacks.attack import Facts, Refused, attack

LOAD_TIMEOUT_S = 60
LISTEN_S = 10.0
MOST_OF_A_FILE = 1 << 22


def _write_into(folder: Path) -> str:
    planted = folder / f"mallory_{os.getpid()}.py"
    try:
        planted.write_text("")
    except OSError as error:
        raise Refused(f"write: {error.strerror}") from None
    planted.unlink()
    return f"wrote into {folder.name}"


@attack
def write_into_the_dag_folder(facts: Facts) -> str:
    """Write a DAG into the image's DAG folder."""
    return _write_into(Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]))


@attack
def write_into_the_plugins(facts: Facts) -> str:
    """Write a plugin, which every Airflow process of the container would load."""
    return _write_into(Path(os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"]))


@attack
def write_into_the_images_code(facts: Facts) -> str:
    """Write into the code of the agent, which talks to the broker."""
    return _write_into(Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]) / "agent")


@attack
def write_into_the_packages(facts: Facts) -> str:
    """Write into Airflow's own package."""
    import airflow

    return _write_into(Path(airflow.__file__).parent)


def _is_loaded(planted: Path, code: str, needle: str) -> bool:
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text("LOADED = True\n")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False
        )
    finally:
        planted.unlink()
    return needle in done.stdout


@attack
def plant_a_local_settings_module(facts: Facts) -> str:
    """Plant airflow_local_settings in AIRFLOW_HOME/config, which Airflow puts on its path, in the image's place."""
    planted = Path(os.environ["AIRFLOW_HOME"]) / "config" / "airflow_local_settings.py"
    code = "import airflow.settings, airflow_local_settings as m; print(m.__file__)"
    if not _is_loaded(planted, code, str(planted)):
        raise Refused("Airflow loads the image's module")
    return "Airflow loads the planted module"


@attack
def plant_a_module_of_the_user(facts: Facts) -> str:
    """Plant usercustomize in the user's site folder, which Python loads at every start."""
    version = "python{}.{}".format(*sys.version_info[:2])
    planted = Path(os.environ["HOME"], ".local", "lib", version, "site-packages", "usercustomize.py")
    code = "import sys; print('usercustomize' in sys.modules)"
    if not _is_loaded(planted, code, "True"):
        raise Refused("Python does not load it")
    return "Python loads the planted module"


@attack
def secrets_in_files(facts: Facts) -> str:
    """Find secrets in any file of its home and temporary folders."""
    found, read = set(), 0
    for root in {os.environ["AIRFLOW_HOME"], os.environ.get("TMPDIR", "/tmp")}:
        for path in Path(root).rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    found |= set(loot.secrets_in(path.read_bytes()[:MOST_OF_A_FILE], facts))
                    read += 1
    if not found:
        raise Refused(f"no secret in {read} files")
    return ", ".join(sorted(found))


def _victims_log(facts: Facts) -> Path:
    for root in (os.environ["AIRFLOW_HOME"], os.environ.get("SHARED_FOLDER", os.environ["AIRFLOW_HOME"])):
        for path in Path(root).rglob("*.log"):
            if "dag_id=victim" in str(path) and "task_id=hold" in str(path):
                return path
    raise Refused("no log of the victim in its folders")


@attack
def read_the_log_file_of_another_task(facts: Facts) -> str:
    """Read the log file of another DAG's running task on the same worker."""
    text = _victims_log(facts).read_text()
    return f"{len(text)} characters"


@attack
def write_the_log_file_of_another_task(facts: Facts) -> str:
    """Append to the log file of another DAG's running task on the same worker."""
    with _victims_log(facts).open("a") as log:
        log.write("")
    return "opened for appending"


@attack
def forge_the_agents_heartbeat(facts: Facts) -> str:
    """Touch the file by which the container's health check knows that the fleet agent runs."""
    path = Path(os.environ["AIRFLOW_HOME"]) / "fleet-pulse"
    if not path.exists():
        raise Refused("there is no such file in its home")
    os.utime(path)
    return "touched"


@attack
def remove_the_agents_heartbeat(facts: Facts) -> str:
    """Move that file away, so that ECS replaces the worker with all its tasks."""
    path = Path(os.environ["AIRFLOW_HOME"]) / "fleet-pulse"
    if not path.exists():
        raise Refused("there is no such file in its home")
    path.rename(path.with_suffix(".mallory"))
    path.with_suffix(".mallory").rename(path)
    return "moved away and back"


def _shared_folder() -> Path:
    folder = os.environ.get("SHARED_FOLDER") or os.environ.get("FLEET_SHARED_FOLDER")
    if not folder:
        raise Refused("its container shares no folder with another")
    return Path(folder)


@attack
def secrets_in_the_shared_folder(facts: Facts) -> str:
    """Find secrets or tokens in the folder that its container shares with Celery's."""
    found: set[str] = set()
    for path in _shared_folder().rglob("*"):
        with contextlib.suppress(OSError):
            data = path.read_bytes()[:MOST_OF_A_FILE] if path.is_file() else b""
            found |= {*loot.secrets_in(data, facts), *loot.tokens_in(data)}
    if not found:
        raise Refused("none in the shared folder")
    return f"{len(found)} secrets and tokens"


@attack
def connect_to_the_runner(facts: Facts) -> str:
    """Connect to a socket in the shared folder, to pose as Celery."""
    for path in _shared_folder().rglob("*"):
        if path.is_socket():
            for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as client:
                    client.connect(str(path))
                    return "connected"
    raise Refused("no socket in the shared folder accepts")


@attack
def pose_as_the_runner(facts: Facts) -> str:
    """Listen in the shared folder in the runner's place, to be handed the workloads of others."""
    folder = _shared_folder()
    descriptor = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"/proc/self/fd/{descriptor}/runner.sock")
        listener.listen()
        listener.settimeout(LISTEN_S)
        try:
            listener.accept()
        except TimeoutError:
            raise Refused(f"no one connected within {LISTEN_S:g} s") from None
        finally:
            (folder / "runner.sock").unlink()
            os.close(descriptor)
    return "Celery connected"
