# airflow-on-ecs: every command an operator or a contributor types. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
# The tools' own .pyc files keep starts short, whatever the caller's shell says.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
export SAM_CLI_TELEMETRY := 0

.PHONY: help setup setup-dev setup-local demo faults up deploy-local down decisions check test test-fast protocol pictures lint format template lock clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: ## create the environments the other commands use
	@$(PYTHON) tools/setup_env.py

setup-dev:
	@$(PYTHON) tools/setup_env.py dev

setup-local:
	@$(PYTHON) tools/setup_env.py dev airflow

demo: setup-local ## the whole stack on this machine, a burst of real tasks, a report
	@exec $(BIN)/python -m local demo

faults: setup-local ## what can go wrong, on the stack with real tasks: a verdict a fault (ONLY="redis ...")
	@exec $(BIN)/python -m local faults $(if $(ONLY),--only $(ONLY)) $(FLAGS)

up: setup-local ## the stack, kept running until Ctrl-C or `make down`
	@exec $(BIN)/python -m local up

deploy-local: setup-dev ## roll airflow_image/ as it is now out on the stack that `make up` runs (VERSION=2)
	@$(BIN)/python -m local deploy --version "$(VERSION)"

down: setup-dev ## stop what `make up` started
	@exec $(BIN)/python -m local down

decisions: setup-dev ## the autoscaler's last decisions about the stack that `make up` runs
	@$(BIN)/python -m local decisions

check: setup-dev ## hold an environment's parameters against the template (ENV=prd)
	@$(BIN)/python -m local check --env "$(ENV)"

test: setup lint ## every test, as CI runs them
	@$(BIN)/python -m pytest -n 2 -m "not acceptance" tests
	@$(BIN)/python -m pytest -m acceptance tests

test-fast: setup-dev ## the unit tests
	@$(BIN)/python -m pytest -n 2 tests/unit

protocol: setup-dev ## the protocol's model over 100,000 steps (a quarter of an hour)
	@PROTOCOL_STEPS=100000 $(BIN)/python -m pytest tests/model -k test_no_task --log-cli-level=INFO

pictures: setup-local ## the documentation's picture of the Fleet page (needs chromium)
	@FLEET_PICTURES=docs/images $(BIN)/python -m pytest -q tests/integration/test_fleet_browser.py -k documentations

lint: setup-dev ## ruff, mypy, cfn-lint, stale template
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python template_gen.py --check
	@$(BIN)/cfn-lint template.yaml

format: setup-dev ## format and fix what can be fixed
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

template: setup-dev ## write template.yaml
	@$(BIN)/python template_gen.py

LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
# The Celery provider's release day: later releases of its dependencies were not tested with it.
AIRFLOW_AS_OF := 2026-10-25
lock: setup-dev ## renew the locks from their .in files (UPGRADE=--upgrade for newer versions)
	@$(LOCK) $(UPGRADE) requirements/dev.in -o requirements/dev.txt
	@$(LOCK) $(UPGRADE) requirements/checkov.in -o requirements/checkov.txt
	@$(LOCK) $(UPGRADE) functions/requirements.in -o functions/requirements.txt
	@$(LOCK) $(UPGRADE) --exclude-newer $(AIRFLOW_AS_OF) airflow_image/requirements.in -o airflow_image/requirements.txt

clean: ## remove environments, state and build output
	@rm -rf .venv .venv-airflow .venv-checkov .local .aws-sam
