"""The real SAM CLI, with its cfn-lint, on the committed template."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.support import rendered

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
SETTINGS = {"AWS_DEFAULT_REGION": rendered.REGION, "SAM_CLI_TELEMETRY": "0"}


def run(*command: str, cwd: Path = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAM_"))}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={**environment, **SETTINGS, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_sam_validate_passes_with_lint(tmp_path: Path) -> None:
    result = run("sam", "validate", "--lint", "--region", rendered.REGION, __SAM_CLI_APP_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "is a valid SAM Template" in result.stdout


class _Store(BaseHTTPRequestHandler):
    """A stub of S3 that accepts every upload and does nothing else."""

    def do_HEAD(self) -> None:
        self._answer(404)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(200)

    def do_POST(self) -> None:
        self._answer(403)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, to keep the tests' output clean."""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Store) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["local", "prd"])
def test_sam_deploy_reads_all_settings_from_the_files(tmp_path: Path, store: str, environment: str) -> None:
    """Read what SAM prints before it deploys; the stub then refuses the change set, which does not matter here."""
    for name in ("samconfig.toml", "parameters", "template.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "functions").mkdir()
    result = run(
        *("sam", "deploy", "--config-env", environment, "--no-resolve-s3", "--s3-bucket", "some-bucket"),
        cwd=tmp_path,
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_ENDPOINT_URL=store,
        AWS_MAX_ATTEMPTS="1",
        __SAM_CLI_APP_DIR=str(tmp_path / "app"),
    )
    said = dict(re.findall(r"^\s*([A-Z][\w ]+?)\s+: (.*)$", result.stdout, re.MULTILINE))
    assert said["Stack name"] == f"airflow-{environment}", result.stderr
    assert json.loads(said["Capabilities"]) == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    assert said["Confirm changeset"] == str(environment == "prd")
    values = yaml.safe_load((ROOT / "parameters" / f"{environment}.yaml").read_text())
    values |= yaml.safe_load((ROOT / "parameters" / values.pop("$include").removeprefix("file://")).read_text())
    assert json.loads(said["Parameter overrides"]) == {title: str(value) for title, value in values.items()}
