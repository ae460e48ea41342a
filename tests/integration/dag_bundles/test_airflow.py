"""The bundle as Airflow calls it: in a task, with a version; in the DAG processor, without one."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.dag_versions.manifest import digest
from roles.bundle_settings import bundle_settings
from tests.support.airflows_python import POOLS, asked, needs_airflow
from tests.support.aws_api import AwsApi
from tests.support.bundles import BUNDLE, Bundle, folder

pytestmark = [needs_airflow, pytest.mark.slow]
FIRST = {"a.py": "A = 1\n", "beside.py": "B = 1\n"}
SECOND = {**FIRST, "beside.py": "B = 2\n"}
Asking = Callable[..., Any]
MAKE = """
import os, time
from airflow.dag_processing.bundles.manager import DagBundlesManager

def texts(path):
    return {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}

def bundle(version=None):
    return DagBundlesManager().get_bundle("dags", version=version)
"""


@pytest.fixture
def bundle(api: AwsApi) -> Bundle:
    return Bundle.new(api.client("s3"), api.region)


@pytest.fixture
def ask(api: AwsApi, bundle: Bundle, tmp_path: Path) -> Asking:
    """Return a function that runs a program in the image's environment, with the settings that the image makes."""
    given = {"DAG_BUNDLES": f"image,{BUNDLE}", "DAG_BUCKET": bundle.bucket, "AIRFLOW_HOME": str(tmp_path)}
    aws = {name: value for name, value in api.environment.items() if name.startswith("AWS_")}

    def ask(program: str, *, role: str = "runner") -> Any:
        return asked(MAKE + program, home=tmp_path, FLEET_ROLE=role, POOLS=POOLS, **aws, **bundle_settings(given))

    return ask


def test_a_task_gets_the_files_of_its_runs_version_after_a_newer_one_is_current(
    bundle: Bundle, ask: Asking, tmp_path: Path
) -> None:
    first = bundle.delivery().upload(folder(tmp_path, FIRST)).version
    bundle.delivery().upload(folder(tmp_path, SECOND))
    found = ask(f"b = bundle({first!r}); b.initialize(); answer([texts(b.path), b.get_current_version().version])")
    assert found == [FIRST, first]


def test_a_run_without_a_version_gets_the_current_one(bundle: Bundle, ask: Asking, tmp_path: Path) -> None:
    version = bundle.delivery().upload(folder(tmp_path, FIRST)).version
    found = ask("b = bundle(); b.initialize(); answer([texts(b.path), b.get_current_version().version])")
    assert found == [FIRST, version]


def test_a_version_that_is_gone_fails_with_a_reason_that_names_it_and_what_to_do(ask: Asking) -> None:
    gone = digest(b"gone")
    program = f"""
try:
    bundle({gone!r}).initialize()
except Exception as error:
    answer([type(error).__name__, str(error)])
"""
    kind, reason = ask(program)
    assert kind == "BundleUnavailable"
    assert f"version {gone} of the DAG bundle dags" in reason
    assert "does not exist" in reason
    assert "upload its DAGs again" in reason


def test_making_a_bundle_reads_nothing_and_loads_no_client(ask: Asking) -> None:
    program = """
import sys
before = {name.partition(".")[0] for name in sys.modules}
b = bundle(); bundle("x"); b.path; b.view_url_template()
answer(sorted({name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore"} - before))
"""
    assert ask(program) == []


FOLLOW = """
def wait_for(b, text):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        b.refresh()
        if (b.path / "beside.py").exists() and (b.path / "beside.py").read_text() == text:
            return b.get_current_version().version
        time.sleep(0.05)
    raise TimeoutError(texts(b.path))
"""


def test_the_dag_processor_follows_and_dates_all_files_at_a_switch(bundle: Bundle, ask: Asking, tmp_path: Path) -> None:
    """The second version changes a helper; the third is the first again, whose files are old."""
    first = bundle.delivery().upload(folder(tmp_path, FIRST)).version
    programs = tmp_path / "programs"
    programs.mkdir()
    program = f"""
{FOLLOW}
b = bundle(); b.initialize(); b.refresh()
seen = [[b.get_current_version().version, str(b.path)]]
for name, text in (("second", "B = 2\\n"), ("first", "B = 1\\n")):
    parsed = time.time()
    open({str(programs)!r} + "/" + name, "w").close()
    version = wait_for(b, text)
    seen.append([version, str(b.path), min(p.stat().st_mtime for p in b.path.iterdir()) > parsed])
answer(seen)
"""

    def operate() -> None:
        for name, files in (("second", SECOND), ("first", FIRST)):
            while not (programs / name).exists():
                time.sleep(0.05)
            bundle.delivery().upload(folder(tmp_path, files))

    thread = threading.Thread(target=operate, daemon=True)
    thread.start()
    start, second, back = ask(program, role="dag-processor")
    assert start[0] == first
    assert second[0] != first
    assert back[0] == first
    assert second[2], "a file whose helper changed would not be parsed again at once"
    assert back[2], "an old version that came back would not be parsed at once"
    assert start[1] == second[1] == back[1], "the path of a DAG file changed"


def test_a_parse_reads_one_version_to_its_end(bundle: Bundle, ask: Asking, tmp_path: Path) -> None:
    """Airflow itself hands over the link; once it no longer does, the replaced method is not needed."""
    version = bundle.delivery().upload(folder(tmp_path, FIRST)).version
    program = """
import airflow.dag_processing.manager as processing
b = bundle(); b.initialize(); b.refresh()
started = []
def start(**given):
    started.append([str(given["path"]), str(given["bundle_path"])])
processing.DagFileProcessorProcess.start = start
Manager = processing.DagFileProcessorManager
manager = Manager(max_runs=1)
manager._dag_bundles = [b]
file = processing.DagFileInfo(rel_path=processing.Path("a.py"), bundle_name="dags", bundle_path=b.path)
manager._create_process(file)
Manager._create_process.original(manager, file)
answer([str(b.path), *started])
"""
    link, ours, airflows = ask(program, role="dag-processor")
    assert airflows == [f"{link}/a.py", link]
    assert ours == [f"{Path(link).parent}/versions/{version}/a.py", f"{Path(link).parent}/versions/{version}"]


def test_before_the_first_upload_the_bundle_is_empty_and_then_it_is_not(
    bundle: Bundle, ask: Asking, tmp_path: Path
) -> None:
    program = f"""
{FOLLOW}
b = bundle(); b.initialize(); b.refresh()
seen = [b.get_current_version(), texts(b.path)]
open({str(tmp_path / "empty")!r}, "w").close()
answer([*seen, wait_for(b, "B = 1\\n")])
"""

    def operate() -> None:
        while not (tmp_path / "empty").exists():
            time.sleep(0.05)
        bundle.delivery().upload(folder(tmp_path, FIRST))

    threading.Thread(target=operate, daemon=True).start()
    version, files, then = ask(program, role="dag-processor")
    assert (version, files) == (None, {})
    assert then == folder(tmp_path, FIRST).manifest.version


def test_a_bucket_that_hangs_holds_up_no_refresh_and_leaves_the_last_version(
    api: AwsApi, bundle: Bundle, ask: Asking, tmp_path: Path
) -> None:
    version = bundle.delivery().upload(folder(tmp_path, FIRST)).version
    program = f"""
import signal
b = bundle(); b.initialize(); b.refresh()
os.kill({api.process.pid}, signal.SIGSTOP)
try:
    time.sleep(2)  # the thread has asked meanwhile, and waits
    began = time.monotonic(); b.refresh(); took = time.monotonic() - began
    other = DagBundlesManager().get_bundle("dags")
    began = time.monotonic()
    try:
        other.initialize()
        reason = ""
    except Exception as error:
        reason = str(error)
    answer([took, b.get_current_version().version, time.monotonic() - began, reason])
finally:
    os.kill({api.process.pid}, signal.SIGCONT)
"""
    try:
        took, kept, first_wait, reason = ask(program, role="dag-processor")
    finally:
        os.kill(api.process.pid, signal.SIGCONT)
    assert took < 0.5
    assert kept == version
    assert first_wait < 5
    assert "has not answered yet" in reason
