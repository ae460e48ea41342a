"""The benchmark's process and servers with small scenes: it measures what the package does."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.micro.function import servers as servers_module
from bench.micro.function import trial
from bench.micro.function.package import Package
from bench.micro.function.scenes import changing, steady
from bench.micro.function.servers import Servers
from bench.micro.function.trial import SceneMismatchError, Trial
from local.servers.process import StartError

ROOT = Path(__file__).parents[3]
QUEUED, MEMBERS = 20, 4
STEADY = steady(queued=QUEUED, members=MEMBERS)
LIBRARIES = Path(next(path for path in sys.path if path.endswith("site-packages")))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("bench")
        patch.setattr(servers_module, "FOLDER", folder)
        patch.setattr(trial, "FOLDER", folder)
        patch.setattr(trial, "TICKS_A_BATCH", 2)
        with servers_module.running_servers(lengths=[QUEUED]) as found:
            yield found


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """Lay out the checkout's function as a package."""
    for name, place in {"autoscaler": "functions", "shared": "functions", "fleet": "."}.items():
        (tmp_path / name).symlink_to(ROOT / place / name)
    return Package(
        python=Path(sys.executable), version="-", is_lambdas_python=False, folder=tmp_path, libraries=LIBRARIES
    )


def test_a_batch_has_one_entry_a_tick_and_counts_its_calls_and_commands(servers: Servers, package: Package) -> None:
    with Trial(STEADY, package=package, servers=servers) as one:
        batch = one.batch()
    assert batch.calls == [["DescribeServices"]] * 2
    assert all(commands["llen"] == 8 for commands in batch.commands)  # two queues, of four lists each
    assert all(own > 0 for own in (*batch.own_ms, *batch.cpu_ms, *batch.aws_ms, *batch.calibration_ms))
    assert batch.peak_bytes > 10_000_000


def test_every_tick_describes_workers_that_no_earlier_tick_has_seen(servers: Servers, package: Package) -> None:
    (newcomers,) = [scene for scene in changing(queued=QUEUED, members=MEMBERS) if scene.unknown_tasks]
    with Trial(newcomers, package=package, servers=servers) as one:
        assert one.batch().calls == [["DescribeServices", "DescribeTasks", "UpdateService"]] * 2


def test_a_cold_start_is_measured_in_a_process_of_its_own(servers: Servers, package: Package) -> None:
    with Trial(STEADY, package=package, servers=servers) as one:
        cold = one.cold_start()
    assert min(cold.import_ms, cold.import_cpu_ms, cold.wiring_ms, cold.first_tick_ms) > 0


def test_a_tick_that_does_not_fit_its_scene_is_an_error(servers: Servers, package: Package) -> None:
    wrong = replace(STEADY, becomes=MEMBERS + 1)
    with (
        Trial(wrong, package=package, servers=servers) as one,
        pytest.raises(SceneMismatchError, match="desired is 4, not 5"),
    ):
        one.batch()


def test_the_error_of_an_ended_process_names_its_log(servers: Servers, package: Package) -> None:
    (package.folder / "shared").unlink()
    with Trial(STEADY, package=package, servers=servers) as one, pytest.raises(StartError, match=r"function\.log"):
        one.batch()
