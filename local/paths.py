"""Where the local stack keeps its state, all of it below .local/ in the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"
LOGS = STATE / "logs"
TASKS = STATE / "tasks"
IMAGES = STATE / "images"
FUNCTIONS = STATE / "functions"
TLS = STATE / "tls"
AUTHORITY = TLS / "ca.pem"  # as local.servers.tls.Authority names it
POSTGRES = STATE / "postgres"
REDIS = STATE / "redis"
TEMPORARY = STATE / "tmp"
RUNNING = STATE / "running.json"
LOCK = STATE / "stack.lock"
AIRFLOW_ENVIRONMENT = ROOT / ".venv-airflow"
