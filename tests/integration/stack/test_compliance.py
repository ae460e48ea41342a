"""cfn-lint, checkov and Control Tower's rules on the template as each environment deploys it."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import rendered
from tests.support.waived_rules import WAIVED_RULES

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = sorted(WAIVED_RULES)
LINT = Path(sys.executable).with_name("cfn-lint")
CHECKOV = ROOT / ".venv-checkov/bin/checkov"
GUARD = ROOT / ".local/guard"
MOST_SUPPRESSIONS = 11
# Every exception, as (resource, rule). The reason is in the resource's metadata.
SUPPRESSED = {
    ("AccessLogBucket", "CKV_AWS_18"),
    ("AccessLogBucket", "s3_bucket_logging_enabled_check"),
    ("AccessLogBucket", "s3_bucket_default_encryption_kms_check"),
    ("AccessLogBucket", "s3_bucket_object_lock_enabled_check"),
    ("DagBucket", "s3_bucket_object_lock_enabled_check"),
    ("Database", "CKV_AWS_161"),
    ("Database", "rds_instance_iam_authentication_enabled_check"),
    ("Key", "kms_create_grant_aws_service_check"),
    ("FunctionsNetworkPolicy", "CKV_AWS_111"),
    ("AutoscalerFunction", "CKV_AWS_116"),
    ("VersionCheckFunction", "CKV_AWS_116"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write each environment's template to a file. A tool reads all in one run, because its start takes longest."""
    folder = tmp_path_factory.mktemp("compliance")
    paths = {environment: folder / f"{environment}.json" for environment in ENVIRONMENTS}
    for environment, path in paths.items():
        path.write_text(json.dumps(rendered.in_environment(environment)))
    return paths


def run(*command: Path | str) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=250)
    return done.stdout


@pytest.fixture(scope="module")
def guard() -> Path:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/setup_guard.py"], capture_output=True, text=True, check=False, timeout=200
    )
    if done.returncode:
        pytest.skip(f"Control Tower's rules are NOT checked: {done.stderr.strip()}")
    return GUARD


def waived_rules(environment: str, *, by_checkov: bool) -> set[str]:
    return {rule for rule in WAIVED_RULES[environment] if rule.startswith("CKV") == by_checkov}


@pytest.mark.slow
def test_cfn_lint_finds_nothing(written: dict[str, Path]) -> None:
    assert run(LINT, "--format", "parseable", *written.values()) == ""


@pytest.mark.slow
def test_cfn_lint_finds_nothing_in_the_expanded_template_with_its_conditions(tmp_path: Path) -> None:
    path = tmp_path / "expanded.json"
    path.write_text(json.dumps(rendered.deployed()))
    assert run(LINT, "--format", "parseable", path) == ""


def test_cfn_lint_finds_a_mistake(tmp_path: Path) -> None:
    service = copy.deepcopy(rendered.deployed()["Resources"]["FlowerService"])
    service["Properties"] = {"Cluster": {"Ref": "Nowhere"}}
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({"Resources": {"Service": {"Type": service["Type"], **service}}}))
    assert "E1020" in run(LINT, "--format", "parseable", path)


@pytest.mark.slow
@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is NOT run: it needs make setup")
def test_checkov_fails_only_waived_rules(written: dict[str, Path]) -> None:
    options = ("--framework", "cloudformation", "--compact", "--quiet", "--output", "json")
    report = json.loads(run(CHECKOV, "-f", *written.values(), *options))
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 150 * len(written)
    failed: dict[str, set[str]] = {environment: set() for environment in written}
    for check in report["results"]["failed_checks"]:
        failed[Path(check["file_path"]).stem].add(check["check_id"])
    assert failed == {environment: waived_rules(environment, by_checkov=True) for environment in written}


@pytest.mark.slow
def test_control_towers_rules_fail_only_where_they_are_waived(written: dict[str, Path], guard: Path) -> None:
    # The rules read no metadata: remove suppressed findings here.
    suppressed = {(title, rule) for title, rule in SUPPRESSED if not rule.startswith("CKV")}
    failed = {
        environment: {rule for title, rule in found - suppressed}
        for environment, found in _not_compliant(guard, *written.values()).items()
    }
    assert failed == {environment: waived_rules(environment, by_checkov=False) for environment in written}


@pytest.mark.slow
def test_control_towers_rules_find_a_mistake(guard: Path, tmp_path: Path) -> None:
    database = copy.deepcopy(rendered.in_environment("prd")["Resources"]["Database"])
    database["Properties"]["PubliclyAccessible"] = True
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({"Resources": {"Database": database}}))
    (found,) = _not_compliant(guard, path).values()
    assert ("Database", "rds_instance_public_access_check") in found


def _not_compliant(guard: Path, *paths: Path) -> dict[str, set[tuple[str, str]]]:
    """Return (resource, rule) of every failure, by the file's name."""
    options = ("--type", "CFNTemplate", "--output-format", "json", "--structured", "--show-summary", "none")
    command: tuple[str | Path, ...] = (
        guard / "cfn-guard",
        "validate",
        "--rules",
        guard / "rules",
        "--data",
        *paths,
        *options,
    )
    reports = json.loads(run(*command))
    for report in reports:
        assert len(report["not_applicable"]) + len(report["compliant"]) + len(report["not_compliant"]) > 200
    return {
        Path(report["name"]).stem: {
            (title, entry["Rule"]["name"]) for entry in report["not_compliant"] for title in _resources_in(entry)
        }
        for report in reports
    }


def _resources_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        path = node.get("path")
        if isinstance(path, str) and path.startswith("/Resources/"):
            yield path.split("/")[2]
        for value in node.values():
            yield from _resources_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _resources_in(value)


def test_the_exceptions_are_few_and_each_is_listed_with_its_reason() -> None:
    found = {
        (title, rule): reason
        for title, resource in rendered.template()["Resources"].items()
        for rule, reason in resource.get("Metadata", {}).get("Suppressions", {}).items()
    }
    assert found.keys() == SUPPRESSED
    assert all(len(reason) > 20 and reason.endswith(".") for reason in found.values())
    assert len(found) <= MOST_SUPPRESSIONS


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_template_is_within_cloudformations_limits(environment: str) -> None:
    assert len(rendered.in_environment(environment)["Resources"]) < 500
    assert len(rendered.text().encode()) < 1_000_000
