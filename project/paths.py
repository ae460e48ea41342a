"""Paths in the checkout. The local stack keeps its state in .local/, or in the folder that a variable names."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE_VARIABLE = "AIRFLOW_ON_ECS_STATE"  # two stacks of one checkout need a folder each
STATE = ROOT / (os.environ.get(STATE_VARIABLE) or ".local")
LOGS = STATE / "logs"
FUNCTION_LOGS = LOGS / "functions"
TASKS = STATE / "tasks"
IMAGES = STATE / "images"
FUNCTIONS = STATE / "functions"
TLS = STATE / "tls"
AUTHORITY = TLS / "ca.pem"  # as local.servers.tls.Authority names it
POSTGRES = STATE / "postgres"
MAIL = STATE / "mail"  # what the local SES has accepted, a file each
SNAPSHOTS = STATE / "snapshots"  # of the database, and the databases that are restored from them
REDIS = STATE / "redis"
TEMPORARY = STATE / "tmp"
RUNNING = STATE / "running.json"
LOCK = STATE / "stack.lock"
IMAGE_SOURCE = ROOT / "airflow_image"
FLEET = ROOT / "fleet"  # copied whole into the image and the functions
IMAGE_PYTHONPATH = f"{IMAGE_SOURCE}:{ROOT}"  # the image's code, where it runs from the checkout
AIRFLOW_ENVIRONMENT = ROOT / ".venv-airflow"
BENCH_ENVIRONMENT = ROOT / ".venv-bench"  # only what benchmarks' DAGs import beyond the image's packages
