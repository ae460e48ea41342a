"""The costs that the documentation names are those that `make cost` prints."""

import re
from functools import cache
from pathlib import Path

import pytest

from ops.cost.estimate import estimate
from ops.cost.load import Load
from ops.cost.resolved import read_template

DOCS = Path(__file__).parents[3] / "docs"
NUMBER = r"([\d,.]+)"
EXAMPLE = re.compile(rf"^\| (dev|qa|prd) \| {NUMBER} \| {NUMBER} \| {NUMBER} \| {NUMBER} \|$", re.MULTILINE)
SLEEPING = re.compile(rf"^\| all \| {NUMBER} \| {NUMBER} \|$", re.MULTILINE)
DEPLOYMENTS = 20  # the command's default
template = cache(read_template)  # rendered once for each environment


def number(text: str) -> float:
    return float(text.replace(",", ""))


def costs(environment: str, *, tasks: float, seconds: float, awake: float, deployments: int = DEPLOYMENTS) -> float:
    load = Load(tasks_a_day=int(tasks), task_s=seconds, deployments_a_month=deployments, awake_hours_a_week=awake)
    return sum(line.usd for line in estimate(template(environment, None), load=load))


@pytest.mark.parametrize("row", EXAMPLE.findall((DOCS / "sizing.md").read_text()), ids=" ".join)
def test_an_example_of_the_sizing_guide_costs_what_it_says(row: tuple[str, ...]) -> None:
    environment, (tasks, seconds, awake, usd) = row[0], map(number, row[1:])
    assert costs(environment, tasks=tasks, seconds=seconds, awake=awake) == pytest.approx(usd, abs=0.51)


def test_the_sizing_guide_has_examples() -> None:
    assert len(EXAMPLE.findall((DOCS / "sizing.md").read_text())) >= 5


def test_sleep_saves_what_its_page_says() -> None:
    ((awake, asleep),) = SLEEPING.findall((DOCS / "sleep.md").read_text())
    for usd, hours in ((awake, 168), (asleep, 65)):
        assert costs("dev", tasks=0, seconds=60, awake=hours, deployments=0) == pytest.approx(number(usd), abs=0.01)
