"""What the code of a task can see and do in the runner's container, and what its end does to the worker's."""

import base64
import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from local.stack.rest_api import Airflow
from tests.image.cluster import FERNET_SECRET, RUN_TIMEOUT_S, START_TIMEOUT_S, Cluster, WorkerTask
from tests.image.conftest import consuming_worker_task
from tests.image.containers import Container
from tests.support import rendered
from tests.support.waiting import eventually

pytestmark = [pytest.mark.image, pytest.mark.timeout(2400)]

MALLORY = "mallory"
# Airflow's own limit for a task without a heartbeat: a death that no one reports is noticed only then.
HEARTBEAT_TIMEOUT_S = 300.0
UNKNOWN = 404
TIMES = 1000
# Fetches logs as the webserver does, with Airflow's own code.
FETCH = """
import json, sys
from airflow.utils.log.file_task_handler import _fetch_logs_from_service
url, *paths = sys.argv[1:]
answers = {path: _fetch_logs_from_service(f"{url}/log/{path}", path) for path in paths}
print(json.dumps({path: [answer.status_code, answer.text] for path, answer in answers.items()}))
"""
# Keeps what comes before an answer ends too early.
FETCH_OFTEN = """
import contextlib, json, sys
from airflow.utils.log.file_task_handler import _fetch_logs_from_service
url, path, times = sys.argv[1:]
found = []
for _ in range(int(times)):
    kept = b""
    with contextlib.suppress(OSError):
        answer = _fetch_logs_from_service(f"{url}/log/{path}", path)
        for part in answer.iter_content(512):
            kept += part
            if part[:1] != b"x" or len(kept) > 4096:
                break
    found.append([answer.status_code, kept.decode(errors="replace")])
print(json.dumps(found))
"""
READ_COMMANDS = "from pathlib import Path; print([p.read_bytes() for p in Path('/proc').glob('[0-9]*/cmdline')])"


@pytest.fixture(scope="module")
def worker_task(cluster: Cluster, figures: list[str]) -> Iterator[WorkerTask]:
    """Run one worker for all tests. The last of them ends it."""
    with consuming_worker_task(cluster, figures) as task:
        yield task


def read_processes() -> dict[str, dict[str, str]]:
    """Attack: read what the kernel tells about all processes."""
    from pathlib import Path

    found: dict[str, dict[str, str]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                text = (process / name).read_text(errors="replace").replace("\0", " ")  # no XCom can hold it
            except OSError as error:
                text = f"not readable: {error.strerror}"
            found.setdefault(name, {})[process.name] = text
    return found


def read_environment() -> dict[str, str]:
    """Attack: read one's own environment."""
    import os

    return dict(os.environ)


def read_namespace() -> str:
    """Attack: name the namespace of the processes that one sees."""
    from pathlib import Path

    return str(Path("/proc/self/ns/pid").readlink())


def read_files(folders: list[str]) -> dict[str, str]:
    """Attack: read all files below folders, and name what is no file."""
    from pathlib import Path

    found = {}
    for path in (path for folder in folders for path in Path(folder).rglob("*")):
        if not path.is_dir():
            try:
                text = path.read_text(errors="replace") if path.is_file() else "no file"
            except OSError as error:
                text = f"not readable: {error.strerror}"
            found[str(path)] = text.replace("\0", " ")  # no XCom can hold it
    return found


def plant_links(links: dict[str, str]) -> list[str]:
    """Attack: put a file and links where the worker's log server reads."""
    import os
    from pathlib import Path

    folder = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]) / "planted"
    folder.mkdir()
    (folder / "file.log").write_text("planted by a task")
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return sorted(path.name for path in folder.iterdir())


def replace_own_log(target: str) -> None:
    """Attack: replace the log of this task by a link, once /tmp/replace exists; wait until /tmp/end does."""
    import os
    import time
    from pathlib import Path

    logs = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]).glob("dag_id=mallory/*/task_id=attack/attempt=1.log")
    log = max(logs, key=lambda path: path.stat().st_mtime)
    print("the log as it should be", flush=True)  # noqa: T201
    while not Path("/tmp/replace").exists():
        time.sleep(0.1)
    log.unlink()
    log.symlink_to(target)
    Path("/tmp/replaced").touch()
    while not Path("/tmp/end").exists():
        time.sleep(0.1)


def take_memory(mib: int) -> str:
    """Attack: use `mib` MiB at the first try."""
    if globals()["TRY"] == 1:
        kept = [bytearray(b"x" * 2**20) for _ in range(mib)]
        return f"used {len(kept)} MiB"
    return "tried again"


def exchange_file_and_link(name: str, target: str, seconds: float) -> int:
    """Attack: let `name` in the log folder be a file and a link in turn, as often as possible; count the turns."""
    import os
    import time
    from pathlib import Path

    folder = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
    kept, following = folder / "kept", folder / "next"
    kept.write_text("x" * 65_536)  # longer than the target: all of that would be sent
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        following.hardlink_to(kept)
        following.rename(folder / name)
        following.symlink_to(target)
        following.rename(folder / name)
        turns += 1
    return turns


def start(airflow: Airflow, attack: Callable[..., Any], **arguments: Any) -> str:
    """Run the code of `attack` in a task; return the run's id."""
    assert eventually(lambda: airflow.dag_exists(MALLORY), within_s=START_TIMEOUT_S)
    source = f"{inspect.getsource(attack)}\nattack = {attack.__name__}\n"
    return airflow.trigger(MALLORY, {"source": source, "arguments": arguments})


def returned(cluster: Cluster, airflow: Airflow, run: str) -> Any:
    """Wait for the run's success; return what its task returned."""
    assert eventually(lambda: airflow.run_state(MALLORY, run) in ("success", "failed"), within_s=RUN_TIMEOUT_S)
    (instance,) = airflow.task_instances(MALLORY, run)
    assert instance["state"] == "success", airflow.log(instance)[-3000:]
    path = f"/api/v2/dags/{MALLORY}/dagRuns/{run}/taskInstances/attack/xcomEntries/return_value"
    headers = {"Authorization": f"Bearer {airflow.token}"}
    as_json = {"stringify": "false"}
    answer = httpx.get(cluster.url("webserver", path), params=as_json, headers=headers, trust_env=False)
    return answer.raise_for_status().json()["value"]


def run_attack(cluster: Cluster, airflow: Airflow, attack: Callable[..., Any], **arguments: Any) -> Any:
    """Return what `attack` returned in a task."""
    return returned(cluster, airflow, start(airflow, attack, **arguments))


def secrets_of(cluster: Cluster) -> set[str]:
    """List every secret that the template gives to any container, and the key that is made of one."""
    found = {base64.urlsafe_b64encode(FERNET_SECRET.encode()).decode()}
    for role, container in rendered.containers().items():
        given = cluster.given(role)
        found |= {given[name] for name in rendered.secrets(container) if name in given and name != "DATABASE_USER"}
    return found


def leaks(cluster: Cluster, texts: Mapping[str, str]) -> list[str]:
    """Return where a secret is."""
    return sorted(where for where, text in texts.items() if any(secret in text for secret in secrets_of(cluster)))


def fetch(cluster: Cluster, program: str, *arguments: str) -> Any:
    """Return what a program found that asks the worker's log server with the webserver's key."""
    url = f"http://localhost:{cluster.ports['log server']}"
    key = {"AIRFLOW__API__SECRET_KEY": cluster.variables["API_SECRET"]}
    said = cluster.containers["webserver"].execute("python", "-c", program, url, *arguments, **key)
    return json.loads(said.splitlines()[-1])


def has_file(container: Container, path: str) -> bool:
    return container.machine.run("podman", "exec", container.id, "test", "-e", path).returncode == 0


@pytest.mark.usefixtures("worker_task")
def test_a_task_reads_no_secret_from_any_process(cluster: Cluster, airflow: Airflow) -> None:
    found = run_attack(cluster, airflow, read_processes)
    assert "SHARED_FOLDER=" in found["environ"]["1"]  # the init keeps what the template gives to the container
    assert "airflow worker -- " in "".join(found["cmdline"].values())
    assert leaks(cluster, found["environ"]) == []
    assert leaks(cluster, found["cmdline"]) == []


def test_a_task_sees_no_process_of_the_workers_container(
    cluster: Cluster, airflow: Airflow, worker_task: WorkerTask
) -> None:
    celery = "celery"
    assert celery in worker_task.worker.execute("python", "-c", READ_COMMANDS)
    found = run_attack(cluster, airflow, read_processes)
    assert [pid for pid, command in found["cmdline"].items() if celery in command] == []
    assert (
        run_attack(cluster, airflow, read_namespace)
        != worker_task.worker.execute("readlink", "/proc/self/ns/pid").strip()
    )


@pytest.mark.usefixtures("worker_task")
def test_a_tasks_environment_does_not_tell_how_to_end_protection(cluster: Cluster, airflow: Airflow) -> None:
    found = run_attack(cluster, airflow, read_environment)
    assert "ECS_CONTAINER_METADATA_URI_V4" in found
    assert "ECS_AGENT_URI" not in found


@pytest.mark.usefixtures("worker_task")
def test_no_file_that_a_task_can_read_holds_a_secret(cluster: Cluster, airflow: Airflow) -> None:
    found = run_attack(cluster, airflow, read_files, folders=["/opt/shared", "/opt/airflow", "/tmp", "/dev/shm"])
    assert any(path.startswith("/opt/shared/logs/dag_id=mallory/") for path in found), sorted(found)
    assert leaks(cluster, found) == []


@pytest.mark.usefixtures("worker_task")
def test_a_task_finds_no_socket_in_the_shared_folder(cluster: Cluster, airflow: Airflow) -> None:
    found = run_attack(cluster, airflow, read_files, folders=["/opt/shared"])
    assert [path for path, text in found.items() if text == "no file"] == []


@pytest.mark.usefixtures("worker_task")
def test_the_log_server_follows_no_link_that_a_task_planted(cluster: Cluster, airflow: Airflow) -> None:
    links = {
        "environ.log": "/proc/self/environ",
        "passwd.log": "/etc/passwd",
        "relative.log": "../../../../etc/passwd",
        "folder": "/etc",
    }
    assert run_attack(cluster, airflow, plant_links, links=links) == sorted(["file.log", *links])
    paths = [f"planted/{name}" for name in ("environ.log", "passwd.log", "relative.log", "folder/passwd")]
    answers = fetch(cluster, FETCH, "planted/file.log", *paths)
    assert answers.pop("planted/file.log") == [200, "planted by a task"]
    assert {path: status for path, (status, _) in answers.items()} == dict.fromkeys(paths, UNKNOWN)


def test_the_log_server_follows_no_link_that_takes_a_files_place_while_it_answers(
    cluster: Cluster, airflow: Airflow, worker_task: WorkerTask
) -> None:
    target = "/proc/1/environ"
    assert leaks(cluster, {"target": worker_task.worker.execute("cat", target)}) == ["target"]
    run = start(airflow, exchange_file_and_link, name="exchanged.log", target=target, seconds=60)
    assert eventually(lambda: has_file(worker_task.runner, "/opt/shared/logs/exchanged.log"), within_s=RUN_TIMEOUT_S)
    fetched = fetch(cluster, FETCH_OFTEN, "exchanged.log", str(TIMES))
    assert returned(cluster, airflow, run) > TIMES
    assert leaks(cluster, {str(number): text for number, (_, text) in enumerate(fetched)}) == []
    assert {status for status, _ in fetched} == {200, UNKNOWN}


def test_a_task_that_replaces_its_log_by_a_link_shows_its_reader_nothing_of_the_worker(
    cluster: Cluster, airflow: Airflow, worker_task: WorkerTask
) -> None:
    run = start(airflow, replace_own_log, target="/proc/self/environ")
    running = {"task_id": "attack", "state": "running"}
    assert eventually(lambda: airflow.count(MALLORY, run, **running) == 1, within_s=RUN_TIMEOUT_S)
    (instance,) = airflow.task_instances(MALLORY, run)
    assert eventually(lambda: "the log as it should be" in airflow.log(instance), within_s=RUN_TIMEOUT_S)
    worker_task.runner.execute("touch", "/tmp/replace")
    assert eventually(lambda: has_file(worker_task.runner, "/tmp/replaced"), within_s=RUN_TIMEOUT_S)
    shown = airflow.log(instance)
    worker_task.runner.execute("touch", "/tmp/end")
    assert "Log file not found on worker" in shown
    assert leaks(cluster, {"log": shown}) == []
    assert eventually(lambda: airflow.run_state(MALLORY, run) == "success", within_s=RUN_TIMEOUT_S)


def test_a_task_that_takes_the_runners_memory_is_tried_again_at_once_and_harms_no_one_else(
    cluster: Cluster, airflow: Airflow, worker_task: WorkerTask, figures: list[str]
) -> None:
    limit_mib = worker_task.runner.memory_mib
    if limit_mib is None:
        pytest.skip("podman cannot limit memory here")
    began = time.monotonic()
    assert run_attack(cluster, airflow, take_memory, mib=limit_mib + 512) == "tried again"
    seconds = time.monotonic() - began
    figures.append(
        f"a task that was ended for its memory had succeeded at its next try {seconds:.1f} s after its start"
    )
    assert seconds < HEARTBEAT_TIMEOUT_S
    assert worker_task.worker.is_running
    assert worker_task.runner.is_running
    assert run_attack(cluster, airflow, read_namespace)


def test_a_worker_whose_runner_is_killed_stops_and_loses_no_task(
    cluster: Cluster, airflow: Airflow, worker_task: WorkerTask, figures: list[str]
) -> None:
    assert eventually(lambda: airflow.dag_exists("burst"), within_s=START_TIMEOUT_S)
    run = airflow.trigger("burst", {"tasks": 20, "min_seconds": 30, "max_seconds": 30})
    running = {"task_id": "work", "state": "running"}
    assert eventually(lambda: airflow.count("burst", run, **running) >= 4, within_s=RUN_TIMEOUT_S)
    worker_task.runner.kill()
    killed_at = time.monotonic()
    assert eventually(lambda: not worker_task.worker.is_running, within_s=RUN_TIMEOUT_S)
    figures.append(f"a worker ended {time.monotonic() - killed_at:.1f} s after its runner was killed")
    assert worker_task.worker.exit_code == 0
    assert cluster.broker.administrator.hlen("unacked") == 0
    worker_task.worker.remove()
    with consuming_worker_task(cluster, figures):
        assert eventually(lambda: airflow.run_state("burst", run) in ("success", "failed"), within_s=RUN_TIMEOUT_S)
    instances = airflow.task_instances("burst", run, task_id="work")
    assert [instance["state"] for instance in instances] == ["success"] * 20
    assert {instance["try_number"] for instance in instances} <= {1, 2}
