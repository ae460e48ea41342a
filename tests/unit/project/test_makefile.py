"""What a caller sets is text: neither make nor a shell runs it, and each command gets it as one argument, checked."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.checkout import asked, checkout, hostile, make
from tools import command

__all__ = ["checkout"]

ROOT = Path(__file__).parents[3]
MAKEFILES = (ROOT / "Makefile", ROOT / "functions" / "Makefile")
Values = dict[str, str]


def inputs(makefile: Path = ROOT / "Makefile") -> list[str]:
    """Return the names that the Makefile takes from outside."""
    text = makefile.read_text().replace("\\\n", " ")
    (found,) = re.findall(r"^override INPUTS := (.+)$", text, re.MULTILINE)
    return str(found).split()


def targets(makefile: Path = ROOT / "Makefile") -> list[str]:
    (found,) = re.findall(r"^\.PHONY: (.+)$", makefile.read_text(), re.MULTILINE)
    return str(found).split()


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    return tmp_path / "planted"


def by_command_line(values: Values) -> tuple[Sequence[str], Values]:
    return [f"{name}={value}" for name, value in values.items()], {}


def by_environment(values: Values) -> tuple[Sequence[str], Values]:
    return [], values


def by_environment_that_wins(values: Values) -> tuple[Sequence[str], Values]:
    return ["-e"], values


@pytest.mark.parametrize(
    "way",
    [
        by_command_line,
        pytest.param(by_environment, marks=pytest.mark.slow),
        pytest.param(by_environment_that_wins, marks=pytest.mark.slow),
    ],
)
class TestHostileValue:
    def test_runs_nowhere_in_any_target(
        self, way: Callable[[Values], tuple[Sequence[str], Values]], checkout: Path, planted: Path
    ) -> None:
        for value in hostile(planted):
            more, environment = way(dict.fromkeys(inputs(), value))
            made = make(checkout, "-n", *targets(), *more, **environment)
            assert not planted.exists(), f"make -n: {value!r}"
            assert value not in made.stdout  # a recipe that holds it lets the shell read it
        # Without -n, with one value that make would run and one that a shell would; clean removes the programs.
        for value in hostile(planted)[:3:2]:
            values = {**dict.fromkeys(inputs(), value), "PYTHON": "true"}
            more, environment = way(values)
            make(checkout, "-k", *sorted({*targets()} - {"clean", "versions"}), *more, **environment)
            assert not planted.exists(), value

    def test_runs_nowhere_in_the_functions_makefile(
        self, way: Callable[[Values], tuple[Sequence[str], Values]], planted: Path
    ) -> None:
        makefile = ROOT / "functions" / "Makefile"
        for value in hostile(planted):
            for only in (["ARTIFACTS_DIR"], ["ARTIFACTS_DIR", "RUNTIME"]):
                more, environment = way(dict.fromkeys(only, value))
                made = make(ROOT, "-n", "-f", str(makefile), *targets(makefile), *more, **environment)
                assert not planted.exists(), value
                assert value not in made.stdout


@pytest.mark.parametrize("makefile", MAKEFILES, ids=["project", "functions"])
def test_no_line_lets_make_expand_what_a_caller_set(makefile: Path) -> None:
    expanded = set(re.findall(r"\$[({]([A-Z_0-9]+)[)}]", makefile.read_text()))
    # The functions' search for a Python is a command, which its caller may replace by another.
    assert expanded & {*inputs(makefile)} <= {"FIND_PYTHON"}


def test_each_variable_of_the_makefile_has_a_kind() -> None:
    assert {*inputs()} == {*command.VARIABLES, "PYTHON"}  # the one that runs before there is a checked Python


def test_a_variable_that_the_makefile_does_not_know_is_refused(checkout: Path, planted: Path) -> None:
    made = make(checkout, "decisions", f"VERSON=$(shell touch {planted})")
    assert (made.returncode, asked(checkout), planted.exists()) == (2, [], False)
    assert "VERSON is not a variable of this Makefile" in made.stderr


def test_another_make_below_gets_no_variable_to_expand(checkout: Path, planted: Path) -> None:
    (checkout / ".venv" / "bin" / "sam").write_text("#!/bin/sh\nexec make -f below\n")
    (checkout / "below").write_text("all:\n\t@echo below ran\n")
    made = make(checkout, "package", f"VERSION=$(shell touch {planted})")
    assert ("below ran" in made.stdout, planted.exists()) == (True, False)


GOOD: Values = {
    "AIRFLOW_ON_ECS_STATE": "/tmp/a state",
    "ANY_BASE": "1",
    "ARGS": "dags list -o json",
    "AUTHORITIES": "my own.pem",
    "AWAKE_HOURS": "55.5",
    "BASE": "registry.example:5000/python:3.12",
    "BOOT_MEDIAN": "40",
    "BOOT_P95": "60",
    "BUDGET": "2.5",
    "BUILDER": "podman",
    "BUNDLE": "team-a",
    "CHANGE_SET": "arn:aws:cloudformation:us-east-1:123456789012:changeSet/samcli-deploy1/0a1b-2c",
    "CLOUDFORMATION_ROLE": "arn:aws:iam::123456789012:role/sam/CloudFormation",
    "CONCURRENCY": "16",
    "DAGS": "../my dags",
    "DELIVERY_BUCKET": "the-bucket",
    "DEPLOYMENTS": "20",
    "DRY_RUN": "1",
    "ENV": "qa",
    "FLAGS": "--autoscaler-away 60",
    "FOLLOW": "15",
    "GIT": "https://example.com/team/dags.git#main:dags",
    "HISTORY": "my history.csv",
    "KEEP": "20",
    "KEEP_DAYS": "90",
    "MAXIMUM": "40",
    "MINIMUM": "0",
    "ONLY": "redis broker-full",
    "OPERATORS": "arn:aws:iam::123456789012:role/a arn:aws:iam::123456789012:user/b",
    "OPTIONS": "--build-arg X='a b' --no-cache",
    "PACKAGE": "polars[pandas]>=1.2,<2",
    "PLAN": "/tmp/the output",
    "QUEUE": "default",
    "REPO": "me/airflow",
    "REPOSITORY": "registry.example/airflow",
    "REV": "HEAD~1",
    "REVISION": "bbbb2222bbbb",
    "ROLE": "arn:aws:iam::123456789012:role/Pipeline",
    "SEEDS": "3",
    "TAG": "1.4.0-rc.1",
    "TASKS": "10000",
    "TASK_SECONDS": "60",
    "UPGRADE": "--upgrade",
    "VERSION": "4c1f0e6a90b2",
    "VS": "dev",
    "VS_REV": "v1.4.0",
    "WAIT": "600",
    "YES": "1",
}


@pytest.mark.parametrize("name", sorted(command.VARIABLES))
class TestVariable:
    def test_may_hold_what_is_documented(self, name: str) -> None:
        kind = command.VARIABLES[name]
        assert kind.arguments(GOOD[name])

    def test_may_not_be_an_option_nor_hold_control_characters(self, name: str) -> None:
        kind = command.VARIABLES[name]
        values = ["x\x1b[2J", "x\x00"]
        if name not in ("ARGS", "FLAGS", "OPTIONS"):
            values += ["--endpoint-url=http://127.0.0.1", "-x"]
        for value in values:
            with pytest.raises(ValueError, match=r".*"):
                kind.arguments(value)

    def test_ends_in_nothing_but_what_is_checked(self, name: str) -> None:
        kind = command.VARIABLES[name]
        if kind.is_list:  # a line break separates words there
            return
        with pytest.raises(ValueError, match=r".*"):
            kind.arguments(GOOD[name] + "\n")


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        ("demo", ["VERSION"], [["-m", "local", "demo"]]),
        (
            "faults",
            ["ONLY", "FLAGS"],
            [["-m", "local", "faults", "--only", "redis", "broker-full", *GOOD["FLAGS"].split()]],
        ),
        ("deploy-local", ["VERSION"], [["-m", "local", "deploy", "--version=4c1f0e6a90b2"]]),
        ("test-dags", ["DAGS", "BUDGET"], [["-m", "ops.dag_tests", "--budget=2.5", "../my dags"]]),
        ("up", ["DAGS", "KEEP"], [["-m", "local", "up", "--dags=../my dags", "--keep"]]),
        ("airflow", ["ARGS"], [["-m", "local", "airflow", "--", "dags", "list", "-o", "json"]]),
        ("check", ["ENV"], [["-m", "local", "check", "--env=qa"]]),
        ("sleep", ["ENV", "WAIT"], [["-m", "ops.sleep", "asleep", "--env=qa", "--wait=600"]]),
        (
            "clean-database",
            ["ENV", "DRY_RUN", "KEEP_DAYS"],
            [["-m", "ops.cleaning", "--env=qa", "--keep-days=90", "--dry-run"]],
        ),
        ("drill", ["ENV", "WAIT"], [["-m", "ops.drill", "--env=qa", "--wait=600"]]),
        ("cost", ["ENV", "VS_REV"], [["-m", "ops.cost", "--env=qa", "--vs-rev=v1.4.0"]]),
        (
            "cost",
            ["ENV", "VS_REV", "HISTORY", "TASKS"],
            [
                ["-m", "bench.sim.compiled"],
                ["-m", "bench.costs", "--env=qa", "--vs-rev=v1.4.0", "my history.csv"],
            ],
        ),
        ("replay", ["HISTORY", "SEEDS"], [["-m", "bench.report", "replay", "--seeds=3", "my history.csv"]]),
        (
            "image",
            ["TAG", "OPTIONS"],
            [["-m", "ops.image", "--tag=1.4.0-rc.1", "--", "--build-arg", "X=a b", "--no-cache"]],
        ),
        (
            "rollback",
            ["ENV", "DELIVERY_BUCKET", "PLAN"],
            [
                [
                    "-m",
                    "ops.delivery",
                    "rollback",
                    "--env=qa",
                    "--output=/tmp/the output",
                    "--bucket=the-bucket",
                    "--plan-only",
                ]
            ],
        ),
    ],
)
def test_a_target_hands_each_value_to_its_command_as_one_argument(
    checkout: Path, target: str, given: list[str], expected: list[list[str]]
) -> None:
    more = [f"{name}={GOOD[name]}" for name in given]
    made = make(checkout, target, *more)
    assert made.returncode == 0, made.stderr
    assert asked(checkout)[-len(expected) :] == expected


def test_the_locks_are_made_with_the_upgrade_that_was_asked_for(checkout: Path) -> None:
    assert make(checkout, "lock", "UPGRADE=--upgrade-package=zizmor").returncode == 0
    lines = asked(checkout)
    assert len(lines) == 9
    assert all(line[:3] == ["uv", "pip", "compile"] and "--upgrade-package=zizmor" in line for line in lines)


@pytest.mark.parametrize("target", sorted(set(command.COMMANDS) - {"lock"}))
def test_a_command_without_its_variables_says_which_one_is_missing(checkout: Path, target: str) -> None:
    required = command.COMMANDS[target].required
    made = make(checkout, target)
    if required:
        assert f"{required[0]} is not set" in made.stderr
        assert asked(checkout) == []
    elif "DELIVERY_BUCKET" in (command.COMMANDS[target].options or {}):
        assert "DELIVERY_BUCKET is not set" in made.stderr
    else:
        assert asked(checkout)


@pytest.mark.parametrize("target", ["release", "promote", "rollback", "releases", "settle"])
def test_a_command_of_the_pipeline_without_its_bucket_says_so_in_one_line(checkout: Path, target: str) -> None:
    given = [f"{name}={GOOD[name]}" for name in command.COMMANDS[target].required]
    made = make(checkout, target, *given)
    assert made.returncode != 0
    assert (
        made.stderr.splitlines()[0] == f"make {target}: DELIVERY_BUCKET is not set: make {target} DELIVERY_BUCKET=..."
    )
    assert asked(checkout) == []


def test_every_command_stands_in_the_makefile_and_the_reverse() -> None:
    named = set(re.findall(r"\$\(RUN\) (?:--check )?([a-z][a-z-]*)", (ROOT / "Makefile").read_text()))
    assert named == set(command.COMMANDS)
