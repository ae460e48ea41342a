"""The workflows: what they run exists, nothing they use can be moved under them, and their linters find nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import ENVIRONMENT, asked, checkout, hostile

__all__ = ["checkout"]

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# Of a reference to another workflow of this repository, at the same commit.
OWN = re.compile(r"\./\.github/workflows/[a-z-]+\.yml")
TARGET = re.compile(r"\bmake (?:-C [a-z]+ )?([a-z-]+)")

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", [])


@each_workflow
def test_every_action_is_pinned_to_a_commit_and_says_which_release_that_is(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert [use for use in used if not PINNED.fullmatch(use) and not OWN.fullmatch(use)] == []


@each_workflow
def test_no_key_is_stored(path: Path) -> None:
    assert "secrets." not in path.read_text()
    assert "aws-access-key-id" not in path.read_text()


@each_workflow
def test_commands_hold_no_expression_that_an_outsider_could_fill(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@each_workflow
def test_every_command_of_make_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {name for step in steps(path) for name in TARGET.findall(step.get("run", ""))}
    commands = {job["with"]["command"] for job in jobs(path).values() if "command" in job.get("with", {})}
    assert [name for name in named | commands if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_a_pipe_fails_with_its_first_command() -> None:
    for path in WORKFLOWS:
        if any("|" in step.get("run", "") for step in steps(path)):
            defaults = yaml.safe_load(path.read_text())["defaults"]
            assert defaults["run"]["shell"] == "bash"  # which GitHub starts with pipefail, if it is named


CREDENTIALS = "aws-actions/configure-aws-credentials@"
# Nothing else runs while there are credentials.
WITH_CREDENTIALS = ("make promote", "make rollback", "make release", "aws ecr get-login-password")


def jobs_with_credentials() -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]]:
    """Yield each job that assumes a role: its name, itself, its steps before and those from then on."""
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            its_steps = job.get("steps", [])
            at = next((i for i, step in enumerate(its_steps) if step.get("uses", "").startswith(CREDENTIALS)), None)
            if at is not None:
                yield name, job, its_steps[:at], its_steps[at:]


def test_packages_are_installed_before_there_are_credentials() -> None:
    found = list(jobs_with_credentials())
    assert sorted(name for name, *_ in found) == ["build", "deploy", "plan"]
    for name, _, before, after in found:
        assert "make setup-dev" in [step.get("run") for step in before], name
        for step in after[1:]:
            assert "uses" not in step, name
            assert any(word in step["run"] for word in WITH_CREDENTIALS), name
            assert not re.search(r"\b(pip|npm|curl|apt|uv|make (image|package|setup))\b", step["run"]), name
    image = next(step["run"] for step in found[0][2] if "make image" in step.get("run", ""))
    assert image  # built without credentials


def test_the_job_that_no_one_reviewed_has_the_role_that_cannot_execute() -> None:
    roles = {name: after[0]["with"]["role-to-assume"] for name, _, _, after in jobs_with_credentials()}
    assert roles == {
        "build": "${{ vars.PIPELINE_ROLE }}",
        "plan": "${{ vars.PLAN_ROLE }}",
        "deploy": "${{ vars.PIPELINE_ROLE }}",
    }
    plan = jobs(ROOT / ".github" / "workflows" / "deploy.yml")["plan"]
    assert plan["environment"] == "${{ inputs.environment }}-plan"


@each_workflow
def test_a_job_has_no_more_permissions_than_it_uses(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        needs_token = {**job.get("permissions", {"contents": "read"})}
        uses_roles = any(step.get("uses", "").startswith(CREDENTIALS) for step in job.get("steps", []))
        deploys = job.get("uses", "").endswith("/deploy.yml")
        assert needs_token == {"contents": "read", **({"id-token": "write"} if uses_roles or deploys else {})}, name


SCRIPTS = [
    pytest.param(step["run"], id=f"{path.stem}-{name}-{i}")
    for path in WORKFLOWS
    for name, job in jobs(path).items()
    for i, step in enumerate(job.get("steps", []))
    if "run" in step and "podman login" not in step["run"] and "test-all" not in step["run"]
]


def run_script(script: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does, in the checkout."""
    output = {"GITHUB_OUTPUT": str(root / "output"), "GITHUB_STEP_SUMMARY": str(root / "summary")}
    own = {"GITHUB_SHA": "4c1f0e6a90b2" + "0" * 28, "DELIVERY_BUCKET": "the-bucket", "PYTHON": "true", **output}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=root, env={**ENVIRONMENT, **own, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_step_runs_what_an_input_holds(script: str, checkout: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    # Values that make, a shell or a shell's substitution would run; alone in COMMAND, which is checked first.
    for value in hostile(planted)[::3]:
        for named in ({"COMMAND": value}, {"COMMAND": "rollback", "VERSION": value, "CHANGE_SET": value, "ENV": value}):
            done = run_script(script, checkout, **{"REPOSITORY": "a/b", "ENV": "dev", "VERSION": "", **named})
            assert not planted.exists(), (script, named)
            if script.startswith(("case", "if")):
                assert done.returncode != 0
    assert not [line for line in asked(checkout) if str(planted) in json.dumps(line)]


def test_the_steps_hand_good_inputs_over(checkout: Path) -> None:
    deploy = jobs(ROOT / ".github" / "workflows" / "deploy.yml")
    plan, execute = (deploy[name]["steps"][-1]["run"] for name in ("plan", "deploy"))
    given = {"COMMAND": "promote", "ENV": "qa", "VERSION": ""}
    assert run_script(plan, checkout, **given).returncode == 0
    output = f"--output={checkout / 'output'}"
    assert asked(checkout)[-1] == [
        *("-m", "ops.delivery", "promote", "--env=qa", "--version=4c1f0e6a90b2", output),
        *("--bucket=the-bucket", "--plan-only"),
    ]
    assert run_script(execute, checkout, **{**given, "COMMAND": "rollback", "CHANGE_SET": "none"}).returncode == 0
    assert asked(checkout)[-1] == [
        *("-m", "ops.delivery", "rollback", "--env=qa", "--change-set=none", "--bucket=the-bucket")
    ]


def run_zizmor(*inputs: Path) -> subprocess.CompletedProcess[str]:
    zizmor = Path(sys.executable).with_name("zizmor")
    options = ["--offline", "--no-progress", "--quiet", "--format", "plain"]
    return subprocess.run([zizmor, *options, *inputs], capture_output=True, text=True, check=False)


def test_zizmor_finds_nothing() -> None:
    done = run_zizmor(ROOT / ".github")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("was", "becomes", "finding"),
    [
        ("make setup-dev", "make deploy VERSION=${{ inputs.version }}", "template-injection"),
        ("setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0", "setup-python@v5", "unpinned-uses"),
    ],
)
def test_zizmor_finds_what_these_workflows_must_not_do(was: str, becomes: str, finding: str, tmp_path: Path) -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    assert was in text
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "deploy.yml").write_text(text.replace(was, becomes))
    done = run_zizmor(tmp_path / ".github")
    assert done.returncode != 0
    assert finding in done.stdout


def test_what_is_pinned_is_renewed() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    found = {each["package-ecosystem"]: each.get("directories", [each.get("directory")]) for each in updates}
    assert set(found) == {"docker", "github-actions", "pip"}
    assert [each for each in found["docker"] if not (ROOT / each.strip("/") / "Dockerfile").is_file()] == []
    locked = {f"/{path.parent.relative_to(ROOT)}" for path in ROOT.glob("*/*.in")}
    assert {*found["pip"]} == locked


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("NO ACTIONLINT: no registry of Python packages has its program. Install it and put it on the PATH")
    done = subprocess.run([actionlint, *WORKFLOWS], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
