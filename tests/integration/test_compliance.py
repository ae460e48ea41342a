"""cfn-lint, checkov and Control Tower's rules on the template as each environment deploys it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import environments
from ops.resolved import resolved
from tests import rendered
from tests.given_up import GIVEN_UP

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted(GIVEN_UP)
CHECKOV = ROOT / ".venv-checkov/bin/checkov"
GUARD = ROOT / ".local/guard"
MOST_SUPPRESSIONS = 8
# Every exception, as (resource, rule). The reason stands on the resource.
SUPPRESSED = {
    ("AccessLogBucket", "CKV_AWS_18"),
    ("AccessLogBucket", "s3_bucket_logging_enabled_check"),
    ("AccessLogBucket", "s3_bucket_default_encryption_kms_check"),
    ("AccessLogBucket", "s3_bucket_object_lock_enabled_check"),
    ("FunctionsNetworkPolicy", "CKV_AWS_111"),
    ("AutoscalerFunction", "CKV_AWS_116"),
    ("VersionCheckFunction", "CKV_AWS_116"),
    ("DeploymentHookFunction", "CKV_AWS_116"),
}


def _resolved(environment: str) -> dict[str, Any]:
    config = environments.load(environment)
    return resolved(rendered.parsed(), given=config.parameters, region=config.region)


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An environment, and its template as a file."""
    path = tmp_path_factory.mktemp("compliance") / f"{request.param}.json"
    path.write_text(json.dumps(_resolved(request.param)))
    return request.param, path


def run(*command: Path | str) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=200)
    return done.stdout


@pytest.fixture(scope="module")
def guard() -> Path:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/setup_guard.py"], capture_output=True, text=True, check=False, timeout=200
    )
    if done.returncode:
        pytest.skip(f"Control Tower's rules are NOT checked: {done.stderr.strip()}")
    return GUARD


def test_cfn_lint_finds_nothing(written: tuple[str, Path]) -> None:
    assert run(Path(sys.executable).with_name("cfn-lint"), "--format", "parseable", written[1]) == ""


@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is NOT run: it needs make setup")
def test_checkov_fails_only_what_is_given_up(written: tuple[str, Path]) -> None:
    environment, path = written
    options = ("--framework", "cloudformation", "--compact", "--quiet", "--output", "json")
    report = json.loads(run(CHECKOV, "-f", path, *options))
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 150
    failed = {check["check_id"] for check in report["results"]["failed_checks"]}
    assert failed == {rule for rule in GIVEN_UP[environment] if rule.startswith("CKV")}


def test_control_towers_rules_fail_only_where_it_is_given_up(written: tuple[str, Path], guard: Path) -> None:
    environment, path = written
    # Its rules read no metadata: what is suppressed is taken out here.
    suppressed = {(title, rule) for title, rule in SUPPRESSED if not rule.startswith("CKV")}
    failed = {(title, rule) for rule, title in _not_compliant(guard, path)} - suppressed
    assert {rule for _, rule in failed} == {rule for rule in GIVEN_UP[environment] if not rule.startswith("CKV")}


def test_control_towers_rules_find_a_mistake(guard: Path, tmp_path: Path) -> None:
    broken = _resolved("prd")
    broken["Resources"]["Database"]["Properties"]["PubliclyAccessible"] = True
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken))
    assert "Database" in {title for _, title in _not_compliant(guard, path)} - {"AccessLogBucket"}


def _not_compliant(guard: Path, path: Path) -> Iterator[tuple[str, str]]:
    """(rule, resource) of every failure."""
    options = ("--type", "CFNTemplate", "--output-format", "json", "--structured", "--show-summary", "none")
    (report,) = json.loads(run(guard / "cfn-guard", "validate", "--rules", guard / "rules", "--data", path, *options))
    assert len(report["not_applicable"]) + len(report["compliant"]) > 200
    for entry in report["not_compliant"]:
        yield from {(entry["Rule"]["name"], title) for title in _resources_in(entry)}


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


def test_every_exception_is_known_has_its_reason_and_they_are_few() -> None:
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
    assert len(_resolved(environment)["Resources"]) < 500
    assert len(rendered.text().encode()) < 1_000_000
