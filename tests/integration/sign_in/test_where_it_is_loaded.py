"""FAB costs memory and time at each start: only the webserver and `migrate` load it, and not without its settings."""

import json
import subprocess
from pathlib import Path

import pytest

from bench.micro.page.webserver import IMAGE, PYTHON, environment, running_webserver
from fleet.pools import POOLS
from local.servers.redis import Redis
from project.errors import CommandError
from tests.support.airflows_python import asked

HEAVY = ("flask", "flask_appbuilder", "airflow.providers.fab.auth_manager.fab_auth_manager", "sign_in.security")
ASK = f"""
answer([name for name in {HEAVY!r} if name in sys.modules])
"""
# What the programs of the roles import before they begin to work.
PROGRAMS = {
    "worker": "import agent.start_worker, agent.celery_app, agent.worker",
    "log server": "import agent.log_files",
    "runner": "import agent.runner.server, agent.runner.preload\nimport airflow.sdk.execution_time.supervisor",
    "scheduler": """
from airflow.cli import cli_parser
cli_parser.get_parser()
import airflow.cli.commands.scheduler_command
import airflow.jobs.scheduler_job_runner, agent.executor
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded() if hasattr(plugins_manager, "ensure_plugins_loaded") else None
""",
    "dag-processor": """
from airflow.cli import cli_parser
cli_parser.get_parser()
import airflow.cli.commands.dag_processor_command, airflow.dag_processing.manager
""",
    "triggerer": """
from airflow.cli import cli_parser
cli_parser.get_parser()
import airflow.cli.commands.triggerer_command, airflow.jobs.triggerer_job_runner
""",
}


@pytest.mark.parametrize("role", sorted(PROGRAMS))
def test_no_other_role_loads_the_sign_in(tmp_path: Path, role: str) -> None:
    settings = {
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(IMAGE / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "FLEET_ROLE": role,
        POOLS: json.dumps([]),
        "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": "agent.results:StateBackend+redis://127.0.0.1/0",
    }
    assert asked(PROGRAMS[role] + ASK, home=tmp_path, **settings) == []


def test_the_question_would_find_it(tmp_path: Path) -> None:
    loading = "import sign_in.manager, sign_in.security\n"
    assert asked(loading + ASK, home=tmp_path) == list(HEAVY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "FAB's settings are missing"),
        ("from flask_appbuilder.const import AUTH_DB\nAUTH_TYPE = AUTH_DB\n", "SECURITY_MANAGER_CLASS must be"),
    ],
)
def test_a_webserver_without_its_settings_ends(broker: Redis, tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "webserver_config.py"
    if content is not None:
        file.write_text(content)
    settings = {"AIRFLOW__FAB__CONFIG_FILE": str(file)}
    url = f"redis://{broker.host}:{broker.port}/0"
    variables = environment(home=tmp_path, broker_url=url) | settings
    done = subprocess.run(
        [PYTHON, "-c", "from sign_in.manager import flask_application; flask_application()"],
        env=variables, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert why in done.stderr
    with pytest.raises(CommandError, match=why), running_webserver(home=tmp_path, broker_url=url, settings=settings):
        pass
