"""A task whose message is delivered again asks a real webserver to start, and is refused without a failure."""

from pathlib import Path

import pytest

from bench.micro.page.webserver import Webserver, environment
from tests.support.airflows_python import asked, needs_airflow

pytestmark = needs_airflow

START = """
import uuid
from datetime import datetime, timezone
from airflow.api_fastapi.auth.tokens import JWTGenerator, get_signing_args
from airflow.configuration import conf
from airflow.sdk.api.client import Client
from agent.runner import obsolete
if INSTALLED:
    obsolete.install()
task = str(uuid.uuid4())
generator = JWTGenerator(valid_for=600, audience=conf.get_mandatory_list_value("execution_api", "jwt_audience")[0],
                         issuer=conf.get("api_auth", "jwt_issuer", fallback=None),
                         **get_signing_args(make_secret_key_if_needed=False))
token = generator.generate(extras={"sub": task, "scope": "workload"}, valid_for=VALID_FOR_S)
client = Client(base_url=URL, token=token)
try:
    client.task_instances.start(uuid.UUID(task), 1, datetime.now(tz=timezone.utc))
    answer("started")
except Exception as error:
    answer(type(error).__name__)
"""


@pytest.mark.slow  # the start of a webserver
@pytest.mark.parametrize("valid_for_s", [pytest.param(-3600, id="dead token"), pytest.param(600, id="deleted run")])
@pytest.mark.parametrize(("installed", "raised"), [(True, "ObsoleteMessageError"), (False, "ServerResponseError")])
def test_a_start_that_the_webserver_refuses_is_recognised(
    installed: bool, raised: str, valid_for_s: int, webserver: Webserver, tmp_path: Path
) -> None:
    program = (
        f"INSTALLED, VALID_FOR_S, URL = {installed}, {valid_for_s}, {webserver.internal_url + '/execution/'!r}\n{START}"
    )
    settings = environment(home=tmp_path, broker_url="redis://127.0.0.1:1/0", role="runner")
    settings = {name: value for name, value in settings.items() if name not in ("PATH", "PYTHONPATH", "AIRFLOW_HOME")}
    assert asked(program, home=tmp_path, **settings) == raised


HAND_OVER = """
from types import SimpleNamespace
from agent import handover
from agent.runner.protocol import Outcome
handover.runner = SimpleNamespace(run=lambda *_, **__: Outcome(error="ObsoleteMessageError", reason="HTTP 403"))
try:
    handover.run_workload("{}")
except Exception as error:
    answer(type(error).__name__)
"""


def test_celery_stores_no_result_for_an_obsolete_message(tmp_path: Path) -> None:
    assert asked(HAND_OVER, home=tmp_path) == "Ignore"
