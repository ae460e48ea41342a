"""The price of a worker-hour: its arithmetic."""

import pytest

from fleet.worker_price import WorkerSize, read_sizes, sizes_to_json

SIZE = WorkerSize(cpu=2048, memory=8192, disk=30, base=2, spot=75)
DISK = 10 * 0.000111
ARM = 2 * 0.03238 + 8 * 0.00356


@pytest.mark.parametrize(
    ("workers", "on_spot"),
    [(0.0, 0.0), (2.0, 0.0), (10.0, 0.6)],  # of the eight beyond the base, six
)
def test_workers_beyond_the_base_are_partly_on_spot(workers: float, on_spot: float) -> None:
    price = SIZE.usd_an_hour("ARM64", workers=workers)
    assert price == pytest.approx(ARM * (1 - on_spot + 0.3 * on_spot) + DISK)


def test_sizes_are_read_as_they_are_written() -> None:
    assert read_sizes(sizes_to_json({"worker": SIZE})) == {"worker": SIZE}


@pytest.mark.parametrize("text", ["{", "[]", '{"worker": []}', '{"worker": {"cpu": 1}}', '{"worker": {"cpu": true}}'])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|no object|the size of the workers of pool worker"):
        read_sizes(text)
