"""The figures of the tasks' benchmark: what is computed from turns, and how limits are judged."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bench.report.tables import BEGIN, END
from bench.tasks import limits
from bench.tasks.aws_program import answer
from bench.tasks.figures import Result, figures, percentile, ratio, record, result
from bench.tasks.product import Product
from bench.tasks.report import Report
from bench.tasks.servers import Servers
from bench.tasks.sizes import QUICK
from bench.tasks.turn import BURSTS, EMPTY, HEADROOM, Burst, Full, Turn
from project import clients

CPU_MS = {"webserver": 30.0, "scheduler": 40.0, "dag-processor": 99.0, "postgres": 10.0, "redis": 1.0}


def a_turn(*, worker: Mapping[str, float], per_s: float = 4.0, idle_mib: float = 300.0) -> Turn:
    burst = Burst(per_s=per_s, cpu_ms={**CPU_MS, **worker}, held_s=[0.1, 0.2, 0.3, 0.4])
    return Turn(
        worker_roles=tuple(worker),
        worker_start_s=3.0,
        to_start_s=[1.0, 2.0, 3.0],
        to_end_s=[2.0, 3.0, 4.0],
        scheduler_idle_cores=0.04,
        scheduler_mib=200.0,
        bursts=dict.fromkeys((*BURSTS, HEADROOM), burst),
        full={slots: Full(busy_mib=400.0, idle_mib=idle_mib, webserver_cores=0.02) for slots in QUICK.slots},
    )


STOCK = a_turn(worker={"worker": 100.0})
PRODUCT = replace(a_turn(worker={"runner": 45.0, "worker": 5.0}, per_s=8.0, idle_mib=150.0), to_end_s=[0.3, 0.4, 0.5])


def a_report(*, other_share: float = 0.0, product: Turn = PRODUCT) -> Report:
    found = result([STOCK], [replace(product, other_share=other_share)], QUICK)
    return Report(result=found, sizes=QUICK, load=(1.0, 2.0))


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.9, 9), ([5, 1], 0.9, 5), ([7], 0.9, 7), ([4, 3, 2, 1], 0.5, 2)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.9)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"), [(1.0, 4.0, 0.25), (None, 4.0, None), (1.0, None, None), (1.0, 0.0, None)]
)
def test_a_ratio_to_what_is_unknown_is_unknown(
    ours: float | None, theirs: float | None, expected: float | None
) -> None:
    assert ratio(ours, theirs) == expected


def test_the_chain_leaves_out_the_dag_processor_and_the_workers_part_has_all_its_roles() -> None:
    found = record(result([STOCK], [PRODUCT], QUICK))
    assert found["chain_cpu"] == pytest.approx((30 + 40 + 10 + 1 + 50) / (30 + 40 + 10 + 1 + 100))
    assert found["worker_cpu_ms"] == pytest.approx(50)
    assert found["pandas_cpu"] == pytest.approx(0.5)


def test_the_best_turn_counts_for_processor_time_and_speed_and_all_for_the_rest() -> None:
    slower = replace(STOCK, bursts={**STOCK.bursts, EMPTY: replace(STOCK.bursts[EMPTY], per_s=2.0, held_s=[9.0] * 4)})
    slower = replace(slower, worker_start_s=9.0, scheduler_mib=400.0, to_end_s=[10.0, 11.0, 12.0])
    found = figures([slower, STOCK], QUICK)
    assert found["tasks_per_s_full"] == 4.0
    assert found["worker_start"] == 3.0
    assert found["pss_scheduler"] == 300.0  # the mean
    assert found["trigger_to_end"] == 7.0  # the median of 2, 3, 4, 10, 11, 12
    assert found["hold_p90"] == 9.0


def test_memory_that_may_not_be_read_stays_unknown() -> None:
    hidden = replace(PRODUCT, full={slots: replace(each, idle_mib=None) for slots, each in PRODUCT.full.items()})
    found = result([STOCK, STOCK], [PRODUCT, hidden], QUICK)
    assert found.product["pss_idle_8"] is None
    assert record(found)["pss_idle_8"] is None
    assert record(found)["pss_busy_8"] == 1.0


def test_the_object_has_every_figure_that_a_limit_names() -> None:
    names = {limit.name for limit in limits.LIMITS}
    of_a_trial = result([STOCK], [PRODUCT], QUICK)
    of_large_workers = {"pss_idle_32", "pss_busy_16"}  # left out by a trial
    assert names - set(record(of_a_trial)) == of_large_workers
    assert {each.limit.name for each in limits.verdicts(record(of_a_trial))} == names - of_large_workers
    assert not a_report().has_failed


def test_speed_is_also_told_for_one_processor() -> None:
    assert record(result([STOCK], [PRODUCT], QUICK))["tasks_per_s_per_core_full"] == 8.0 / (os.cpu_count() or 1)


def test_other_load_of_any_turn_makes_the_run_not_quiet() -> None:
    assert a_report(other_share=0.15).result.is_quiet
    assert not a_report(other_share=0.16).result.is_quiet
    assert "not quiet" in a_report(other_share=0.16).circumstances
    assert "not quiet" not in a_report().circumstances


@pytest.mark.parametrize(
    ("limit", "measured", "holds"),
    [
        (limits.Limit(name="x", what="x", value=2), 2.0, True),
        (limits.Limit(name="x", what="x", value=2), 2.1, False),
        (limits.Limit(name="x", what="x", value=2, is_floor=True), 2.0, True),
        (limits.Limit(name="x", what="x", value=2, is_floor=True), 1.9, False),
    ],
)
def test_a_limit_holds_on_its_own_side(limit: limits.Limit, measured: float, holds: bool) -> None:
    assert limits.Verdict(limit=limit, measured=measured).holds is holds


@pytest.mark.parametrize(
    ("is_goal", "measured", "is_failure"),
    [(False, 1.0, False), (False, 3.0, True), (False, None, True), (True, 3.0, False), (True, None, False)],
)
def test_a_goal_fails_nothing_and_an_unknown_figure_holds_no_limit(
    is_goal: bool, measured: float | None, is_failure: bool
) -> None:
    limit = limits.Limit(name="x", what="x", value=2, is_goal=is_goal)
    assert limits.Verdict(limit=limit, measured=measured).is_failure is is_failure


def test_each_figure_has_a_row_with_both_systems(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nof before\n{END}\nafter\n")
    a_report(other_share=0.5).write_docs(page)
    text = page.read_text()
    assert "| memory of a worker, 4 idle slots | 150 MiB | 300 MiB | 0.50 |" in text
    assert "| part of webserver | 30.0 ms | 30.0 ms | 1.00 |" in text
    assert "**not quiet**" in text
    assert "| goal |" in text
    assert "of before" not in text


def test_a_run_that_was_not_quiet_fails_for_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = limits.Limit(name="chain_cpu", what="x", value=0.1, is_goal=False)
    monkeypatch.setattr(limits, "LIMITS", (strict,))
    assert a_report().has_failed
    assert not a_report(other_share=0.5).has_failed


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/v4/worker/task", b"", b'"TaskARN"'),
        ("PUT", "/api/worker/task-protection/v1/state", b'{"ProtectionEnabled": true}', b'"ProtectionEnabled": true'),
        ("PUT", "/api/worker/task-protection/v1/state", b'{"ProtectionEnabled": false}', b'"ProtectionEnabled": false'),
        ("PUT", "/task-logs/logs/x", b"text", b""),
        ("HEAD", "/task-logs/logs/x", b"", b"NoSuchKey"),
    ],
)
def test_the_program_in_place_of_aws_grants_protection_and_keeps_nothing(
    method: str, path: str, body: bytes, expected: bytes
) -> None:
    assert expected in answer(method, path, body)[2]


@pytest.mark.parametrize("role", ["migrate", "webserver", "scheduler", "dag-processor", "worker", "runner"])
def test_each_variable_of_the_templates_containers_has_a_value(role: str, tmp_path: Path) -> None:
    """The product's turn comes after stock's: what it lacks would show after seven minutes."""
    server = SimpleNamespace(host="127.0.0.1", port=1)
    servers = SimpleNamespace(
        password="p",
        redis=server,
        postgres=server,
        aws_url="http://127.0.0.1:1",
        aws_environment=lambda: clients.environment("http://127.0.0.1:1"),
        add_broker_users=lambda pools: None,  # noqa: ARG005 - there is no broker
        add_database=lambda name: None,  # noqa: ARG005 - nor a database
        broker=lambda number: None,  # noqa: ARG005
    )
    product = Product(cast("Servers", servers), tmp_path, dag_ids=(), variables={})
    home = tmp_path / "home"
    home.mkdir()
    assert product.environment(role, home, slots=2)


def test_a_ratio_of_an_unknown_figure_is_unknown() -> None:
    found = Result(stock={"a": 1.0}, product={"a": None}, other_share=0.0)
    assert found.ratios == {"a": None}
