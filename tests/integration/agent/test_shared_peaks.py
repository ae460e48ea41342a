"""Workers of a pool share what its tasks need: on a real Redis, with the broker's users."""

from collections.abc import Iterator

import pytest
from redis.exceptions import NoPermissionError

from agent import shared_peaks
from agent.admission import Admission
from agent.page.reader import read_fleet
from agent.runner.protocol import Memory, Outcome
from agent.shared_peaks import SharedPeaks
from fleet import access
from fleet.peaks import PoolPeaks
from fleet.pools import Pool
from fleet.registry import Registry, peaks_key
from tests.support.broker_users import BrokerWithUsers, broker_with_users

MIB = 1024 * 1024
POOL = Pool(name="worker", queues=("default",), minimum=0, maximum=2, concurrency=8)


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerWithUsers]:
    with broker_with_users() as running:
        yield running


@pytest.fixture(autouse=True)
def at_once(broker: BrokerWithUsers, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.administrator.flushall()
    monkeypatch.setattr(shared_peaks, "SHARE_EVERY_S", 0.0)


def a_worker(broker: BrokerWithUsers) -> tuple[Admission, SharedPeaks]:
    """Return one that has just booted and been told of its memory."""
    admission = Admission()
    shared = SharedPeaks(Registry(broker.client(access.worker("worker"))), "worker", admission)
    shared.share()
    admission.measured(Memory(usable=1900 * MIB, others=200 * MIB, tasks={}))
    return admission, shared


def needs_on_the_page(broker: BrokerWithUsers) -> tuple[str, list[str]]:
    (pool,) = read_fleet(broker.client(access.PAGE), (POOL,))["pools"]
    return pool["needs"], pool["troubles"]


def test_a_new_worker_knows_what_others_have_learned(broker: BrokerWithUsers) -> None:
    first, shared = a_worker(broker)
    assert first.slots(8, held=0) == 8
    first.end(first.begin("dag.task"), Outcome(peak=400 * MIB))
    shared.share()
    second, _ = a_worker(broker)
    assert second.slots(8, held=0) == 4
    said, troubles = needs_on_the_page(broker)
    assert said.endswith("4 slots of a worker of this size fit, 8 declared: for all of them, add 2 GiB to a worker.")
    assert not any("memory" in trouble for trouble in troubles)
    assert 0 < broker.administrator.ttl(peaks_key("worker")) <= 30 * 86_400


@pytest.mark.parametrize("forged", [b"{", b'{"version":1,"last":[-5],"room":1}'])
def test_a_forged_record_is_learned_anew_and_the_page_says_so(broker: BrokerWithUsers, forged: bytes) -> None:
    broker.administrator.set(peaks_key("worker"), forged)
    said, troubles = needs_on_the_page(broker)
    assert said == ""
    assert any("the memory that tasks need cannot be read" in trouble for trouble in troubles)
    admission, shared = a_worker(broker)
    admission.end(admission.begin("dag.task"), Outcome(peak=400 * MIB))
    shared.share()
    assert Registry(broker.administrator).peaks("worker") == PoolPeaks(last=(400,), room=1700)


def test_a_worker_reaches_the_record_of_no_other_pool(broker: BrokerWithUsers) -> None:
    other = Registry(broker.client(access.worker("sql")))
    with pytest.raises(NoPermissionError):
        other.write_peaks("worker", PoolPeaks(last=(1,), room=1))
    with pytest.raises(NoPermissionError):
        other.peaks("worker")
