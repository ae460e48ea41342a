# airflow-on-ecs: every command an operator or a contributor types. `make help` lists them.
.DEFAULT_GOAL := help
override SHELL := /bin/sh
override BIN := .venv/bin

# The variables that a caller may set, on the command line or in the environment. Their values are text: make never expands
# one (it would run a value like $(shell ...)), and no recipe holds one (its shell would read it). They reach the
# commands by environment, through tools/command.py, which says what each may hold.
override INPUTS := AIRFLOW_ON_ECS_STATE ANY_BASE ARGS AUTHORITIES AWAKE_HOURS BASE BOOT_MEDIAN BOOT_P95 BUDGET BUILDER BUNDLE CHANGE_SET \
  CLOUDFORMATION_ROLE CONCURRENCY DAGS DELIVERY_BUCKET DEPLOYMENTS DRY_RUN ENV FLAGS FOLLOW GIT HISTORY KEEP KEEP_DAYS MAXIMUM MINIMUM ONLY OPERATORS OPTIONS \
  PACKAGE PLAN PYTHON QUEUE REPO REPOSITORY REV REVISION ROLE SEEDS TAG TASKS TASK_SECONDS UPGRADE VERSION VS VS_REV WAIT YES
# $(value) is a variable's text, unexpanded. With := it stays so, also where make exports it.
$(foreach name,$(INPUTS),$(if $(filter undefined,$(origin $(name))),,$(eval override export $(name) := $$(value $(name)))))
# Make expands any other variable of its command line when it starts a shell, so it takes none.
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),\
  $(error $(name) is not a variable of this Makefile: use $(INPUTS))))
# Nor are they passed on in MAKEFLAGS, where another make would expand them.
override MAKEOVERRIDES :=
ifeq ($(value PYTHON),)
override export PYTHON := python3
endif
override STATE := $(or $(value AIRFLOW_ON_ECS_STATE),.local)
override RUN := $(BIN)/python tools/command.py
# The tools' own .pyc files keep starts short, whatever the caller's shell says.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
override export SAM_CLI_TELEMETRY := 0

.PHONY: help setup setup-dev setup-local setup-bench setup-docs demo faults prewarm up airflow shell deploy-local down decisions dags versions versions-asked sleep wake clean-database drill cost check image renew-base add-package package release promote rollback releases settle test-dags pipeline-role pipeline-ledger test badge test-all test-ci test-fast test-image protocol mutation pictures compiled bench replay lint format template lock options site cut-release release-notes clean

help: ## list the commands
	@"$$PYTHON" tools/help.py

setup: ## create the environments that the other commands use
	@"$$PYTHON" tools/setup_env.py

setup-dev:
	@"$$PYTHON" tools/setup_env.py dev

setup-local:
	@"$$PYTHON" tools/setup_env.py dev airflow

setup-docs:
	@"$$PYTHON" tools/setup_env.py docs

setup-bench:
	@"$$PYTHON" tools/setup_env.py dev airflow bench

##@ On this machine
demo: setup-local ## bring the whole stack up, run a burst of real tasks, write a report
	@exec $(RUN) demo

faults: setup-local ## provoke faults while real tasks run, print a verdict for each (ONLY="redis ...")
	@exec $(RUN) faults

prewarm: setup-local ## print how long tasks wait without and with a forecast (five minutes)
	@exec $(RUN) prewarm

test-dags: setup-local ## test DAG files with the image's packages, and run the pytest files beside them (DAGS=../my-dags BUDGET=10)
	@exec $(RUN) test-dags

up: setup-local ## bring the stack up and keep it until Ctrl-C or `make down` (DAGS=../my-dags KEEP=1)
	@exec $(RUN) up

airflow: setup-dev ## run a command of Airflow in the stack of `make up` (ARGS="dags list")
	@exec $(RUN) airflow

shell: setup-dev ## open a shell in the stack of `make up`, with its variables and packages
	@exec $(RUN) shell

deploy-local: setup-local ## deploy the present airflow_image/ to the stack of `make up` (VERSION=2)
	@$(RUN) deploy-local

down: setup-dev ## end the stack of `make up`
	@exec $(RUN) down

decisions: setup-dev ## print the autoscaler's last decisions on the stack of `make up`
	@$(RUN) decisions

# make exits with 2 on any failure. In question mode (-q) it runs only lines with a + and exits with 1 when a target is out of
# date. So "out of sync" exits with 1, and "unknown" with 2.
# STATE is text, which make does not expand again: $(file) opens it without a shell.
override VERSIONS_CODE := $(STATE)/versions-code
ifneq ($(filter versions,$(MAKECMDGOALS)),)
MAKEFLAGS += -q
endif
versions: versions-asked ## check that every process runs the webserver's code: exit 0 yes, 1 no, 2 unknown (ENV=prd WAIT=600 BUNDLE= VERSION=)
	$(if $(filter 1,$(file <$(VERSIONS_CODE))),out of sync)
	$(if $(filter-out 0 1,$(file <$(VERSIONS_CODE))),$(error unknown))

versions-asked:
	+@state="$${AIRFLOW_ON_ECS_STATE:-.local}"; mkdir -p -- "$$state"; echo 2 >"$$state/versions-code"; \
		"$$PYTHON" tools/setup_env.py dev || exit 0; $(RUN) versions; echo $$? >"$$state/versions-code"

##@ A deployed environment
dags: setup-local ## upload DAGs, list their versions, or go back to one (ENV=dev DAGS=../my-dags or GIT=URL, see docs)
	@exec $(RUN) dags

sleep: setup-dev ## stop a whole environment when no task runs in it (ENV=dev WAIT=3600)
	@$(RUN) sleep

wake: setup-dev ## start a sleeping environment again, in order (ENV=dev)
	@$(RUN) wake

clean-database: setup-dev ## delete old runs from an environment's database, as its schedule does (ENV=prd DRY_RUN=1 KEEP_DAYS=90)
	@$(RUN) clean-database

drill: setup-dev ## restore the newest snapshot beside the database, migrate and examine it, remove it (ENV=prd)
	@exec $(RUN) drill

cost: setup-dev ## print what a month costs, by resource (ENV=prd TASKS=10000 TASK_SECONDS=60 DEPLOYMENTS=20 AWAKE_HOURS=55 VS=qa VS_REV=HEAD~1), or by DAG (HISTORY=task_instance.csv)
	@if [ -n "$$HISTORY" ]; then $(RUN) --check cost && $(BIN)/python -m bench.sim.compiled || exit; fi; $(RUN) cost

check: setup-dev ## check an environment's parameters against the template (ENV=prd)
	@$(RUN) check

##@ Images and releases
image: setup-dev ## build the image with docker, podman or buildah (VERSION, TAG, REPOSITORY, BASE, ANY_BASE, AUTHORITIES, BUILDER, OPTIONS)
	@$(RUN) image

renew-base: setup-dev ## write the present digest of the base image into the Dockerfile (BASE=another:tag)
	@$(RUN) renew-base

# The Celery provider's release day: later releases of its dependencies were not tested with it.
override AIRFLOW_AS_OF := 2026-10-25
add-package: setup-dev ## add a Python package to the image and install it for the local stack (PACKAGE=polars)
	@$(RUN) add-package --as-of $(AIRFLOW_AS_OF)
	@"$$PYTHON" tools/setup_env.py dev airflow

package: setup-dev ## build the functions' packages and the template for a deployment to AWS (sam build)
	@PATH="$$PWD/$(BIN):$$PATH" $(BIN)/sam build

# The delivery commands use the bucket DELIVERY_BUCKET and the caller's credentials, see docs/delivery.md.
release: setup-dev ## build and push the image of a version, once (VERSION, REPOSITORY, BUILDER)
	@$(RUN) release

promote: setup-dev ## bring a release to an environment, after a review of its change set (ENV, VERSION)
	@$(RUN) promote

rollback: setup-dev ## return to a version that ran well there, by default the previous one (ENV, VERSION)
	@$(RUN) rollback

releases: setup-dev ## print what runs where, and what was deployed there
	@$(RUN) releases

settle: setup-dev ## record the revision of an environment's database (ENV, REVISION)
	@$(RUN) settle

pipeline-role: setup-dev ## let a role of sam pipeline bootstrap deliver, and make one that only plans (ENV, ROLE, REPO, CLOUDFORMATION_ROLE)
	@$(RUN) pipeline-role

pipeline-ledger: setup-dev ## let only an environment's own role write its ledger (ENV, ROLE, OPERATORS)
	@$(RUN) pipeline-ledger

##@ Tests and measurements
# CONTRIBUTING.md says which tests are marked slow.
override PYTEST := $(BIN)/python -m pytest
override SEVERAL := -n 4 --dist loadfile --no-loadscope-reorder -m
# Their branch coverage is measured, and has a floor in pyproject.toml. These use no server, so two processes suffice.
override COVERING := $(addprefix tests/unit/,agent autoscaler cfn fleet functions machines oidc sign_in telemetry)
test: setup lint site ## lint, the documentation's site, unit tests, the protocol's model, quick integration tests, one demo (15 minutes)
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --cov --cov-report=json $(COVERING)
	@$(BIN)/python tools/coverage_badge.py
	@$(PYTEST) $(SEVERAL) "not slow and not acceptance and not image" $(addprefix --ignore=,$(COVERING)) tests
	@$(PYTEST) -m "acceptance and not slow" tests/acceptance

badge: setup-dev ## write the badge of the coverage that the last `make test` measured
	@$(BIN)/python tools/coverage_badge.py --write

test-ci: test ## `make test`, then the slow tests but the longest, as .ci/run does
	@$(PYTEST) $(SEVERAL) "slow and not acceptance and not image" tests
	@$(PYTEST) -m "acceptance and slow and not longest" tests/acceptance

test-all: test-ci ## `make test-ci`, then the longest tests, as the workflows do
	@$(PYTEST) -m "acceptance and slow and longest" tests/acceptance

test-fast: setup-dev ## run the unit tests
	@$(BIN)/python -m pytest -n 2 tests/unit

test-image: setup-dev ## build the real image and run every role of it (needs buildah and podman)
	@$(BIN)/python -m pytest -m image -rs tests/image

protocol: setup-dev ## run the model of the drain protocol over 100,000 steps (about an hour)
	@PROTOCOL_STEPS=100000 $(BIN)/python -m pytest tests/model -k test_no_task --log-cli-level=INFO

mutation: ## count small changes of scaling decision and registry that no test notices (half an hour at most)
	@"$$PYTHON" tools/setup_env.py dev mutation
	@exec $(BIN)/python tools/mutation.py

compiled: setup-dev # compile the simulator's hot modules, if there is a compiler and the build is out of date
	@$(BIN)/python -m bench.sim.compiled

bench: setup-bench compiled ## measure functions, Execution API and tasks, compare policies, write docs/benchmarks*.md (quickly: FLAGS="--seeds 1 --days 2 --concurrency 16")
	@failed=0; $(RUN) bench || failed=1; for part in "micro.function --docs" "micro.execution_api --docs" "tasks --docs" micro.versions micro.page micro.template; do \
	  $(BIN)/python -m bench.$$part || failed=1; done; exit $$failed

replay: setup-dev ## find the settings that suit your own history (HISTORY=task_instance.csv WAIT=60, see docs/replay.md)
	@$(RUN) --check replay && $(BIN)/python -m bench.sim.compiled && $(RUN) replay

pictures: setup-local ## draw the documentation's pictures of the Fleet page and of `make demo` (needs chromium)
	@FLEET_PICTURES=docs/images $(PYTEST) -q tests/integration/agent/test_page_browser.py -k documentations
	@$(BIN)/python -m local demo && cd -- "$${AIRFLOW_ON_ECS_STATE:-.local}" && cp demo.png demo.svg "$$OLDPWD/docs/images/"

##@ Development
# The two slowest tools run beside the others. Each prints only what it found.
lint: setup-dev ## ruff, mypy, words, zizmor on the workflows, stale template, cfn-lint
	@$(BIN)/mypy & types=$$!; trap 'kill $$types' INT TERM; \
	  { $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python tools/words.py && \
	    $(BIN)/zizmor --offline --no-progress --quiet --format plain .github && \
	    $(BIN)/python template_gen.py --check && $(BIN)/cfn-lint template.yaml; }; others=$$?; \
	  wait $$types && exit $$others

format: setup-dev ## format and fix what can be fixed
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

template: setup-dev ## write template.yaml, docs/reference.md and docs/commands.md
	@$(BIN)/python template_gen.py
	@"$$PYTHON" tools/help.py --page

lock: setup-dev ## renew the locks from their .in files (UPGRADE=--upgrade for newer versions)
	@$(RUN) lock requirements/dev.in -o requirements/dev.txt
	@$(RUN) lock requirements/checkov.in -o requirements/checkov.txt
	@$(RUN) lock requirements/clients.in -o requirements/clients.txt
	@$(RUN) lock functions/requirements.in -o functions/requirements.txt
	@$(RUN) lock airflow_image/build.in -o airflow_image/build.txt
	@$(RUN) lock --exclude-newer $(AIRFLOW_AS_OF) airflow_image/requirements.in -o airflow_image/requirements.txt
	@$(RUN) lock requirements/bench.in -o requirements/bench.txt
	@$(RUN) lock requirements/docs.in -o requirements/docs.txt
	@$(RUN) lock requirements/mutation.in -o requirements/mutation.txt

options: setup-local ## write the list of Airflow's options from the image's packages, after `make lock`
	@AIRFLOW_CONFIG=airflow_image/airflow.cfg AIRFLOW_HOME=/tmp .venv-airflow/bin/python tools/airflow_options.py >project/airflow_options.new
	@mv project/airflow_options.new project/airflow_options.txt

site: setup-docs ## build the documentation as a site into .local/site; a link that leads nowhere fails
	@said=$$(NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict 2>&1) || { printf '%s\n' "$$said" | grep -v ^INFO; exit 1; } # --quiet would hide warnings from --strict

cut-release: setup-dev ## make a release of what is unreleased in CHANGELOG.md, see CONTRIBUTING.md (VERSION=1.1.0)
	@$(RUN) cut-release

release-notes: setup-dev ## print the notes of a release from CHANGELOG.md (VERSION=1.0.0)
	@exec $(RUN) release-notes

clean: ## remove environments, state and build output
	@rm -rf .venv .venv-airflow .venv-airflow-* .venv-bench .venv-checkov .venv-docs .venv-mutation .local .aws-sam
