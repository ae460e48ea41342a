# airflow-on-ecs: every command an operator or a contributor types. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
# The tools' own .pyc files keep starts short, whatever the caller's shell says.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
export SAM_CLI_TELEMETRY := 0

.PHONY: help setup setup-dev setup-local demo faults prewarm up deploy-local down decisions versions versions-asked sleep wake cost check image package release promote rollback releases settle pipeline-role test test-all test-fast test-image protocol pictures compiled bench replay lint format template lock clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: ## create the environments the other commands use
	@$(PYTHON) tools/setup_env.py

setup-dev:
	@$(PYTHON) tools/setup_env.py dev

setup-local:
	@$(PYTHON) tools/setup_env.py dev airflow

demo: setup-local ## bring the whole stack up on this machine, run a burst of real tasks, write a report
	@exec $(BIN)/python -m local demo

faults: setup-local ## provoke faults on the whole stack while real tasks run, print a verdict for each (ONLY="redis ...")
	@exec $(BIN)/python -m local faults $(if $(ONLY),--only $(ONLY)) $(FLAGS)

prewarm: setup-local ## run a DAG by the clock without and with a forecast, print how long its tasks waited (five minutes)
	@exec $(BIN)/python -m local prewarm

up: setup-local ## bring the stack up and keep it until Ctrl-C or `make down`
	@exec $(BIN)/python -m local up

deploy-local: setup-dev ## deploy the present airflow_image/ to the stack of `make up` (VERSION=2)
	@$(BIN)/python -m local deploy --version "$(VERSION)"

down: setup-dev ## end the stack of `make up`
	@exec $(BIN)/python -m local down

decisions: setup-dev ## print the autoscaler's last decisions on the stack of `make up`
	@$(BIN)/python -m local decisions

# make exits with 2 on any failure. In question mode (-q) it runs only lines with a + and exits with 1 when a target is out of
# date. So "out of sync" exits with 1, and "unknown" with 2.
STATE := $(or $(AIRFLOW_ON_ECS_STATE),.local)
VERSIONS_CODE := $(STATE)/versions-code
ifneq ($(filter versions,$(MAKECMDGOALS)),)
MAKEFLAGS += -q
endif
versions: versions-asked ## check that every process runs the webserver's code: exit 0 yes, 1 no, 2 unknown (ENV=prd WAIT=600)
	$(if $(filter 1,$(shell cat $(VERSIONS_CODE))),out of sync)
	$(if $(filter-out 0 1,$(shell cat $(VERSIONS_CODE))),$(error unknown))

versions-asked:
	+@mkdir -p $(STATE); echo 2 >$(VERSIONS_CODE); $(PYTHON) tools/setup_env.py dev || exit 0; \
		$(BIN)/python -m ops.versions --env "$(ENV)" $(if $(WAIT),--wait $(WAIT)); echo $$? >$(VERSIONS_CODE)

sleep: setup-dev ## stop a whole environment when no task runs in it (ENV=dev WAIT=3600)
	@$(BIN)/python -m ops.sleep asleep --env "$(ENV)" $(if $(WAIT),--wait $(WAIT))

wake: setup-dev ## start a sleeping environment again, in order (ENV=dev)
	@$(BIN)/python -m ops.sleep awake --env "$(ENV)" $(if $(WAIT),--wait $(WAIT))

COST_ARGUMENTS = --env "$(ENV)" $(if $(REV),--rev "$(REV)") $(if $(VS),--vs "$(VS)") $(if $(VS_REV),--vs-rev "$(VS_REV)") \
  $(if $(TASKS),--tasks "$(TASKS)") $(if $(TASK_SECONDS),--task-seconds "$(TASK_SECONDS)") \
  $(if $(DEPLOYMENTS),--deployments "$(DEPLOYMENTS)") $(if $(AWAKE_HOURS),--awake-hours "$(AWAKE_HOURS)")
cost: setup-dev ## print what a month costs, by resource (ENV=prd TASKS=10000 TASK_SECONDS=60 DEPLOYMENTS=20 AWAKE_HOURS=55 VS=qa VS_REV=HEAD~1)
	@$(BIN)/python -m ops.cost $(COST_ARGUMENTS)

check: setup-dev ## check an environment's parameters against the template (ENV=prd)
	@$(BIN)/python -m local check --env "$(ENV)"

image: setup-dev ## build the image with docker, podman or buildah (VERSION, TAG, REPOSITORY, BASE, AUTHORITIES, BUILDER, OPTIONS)
	@$(BIN)/python -m ops.image $(if $(VERSION),--version "$(VERSION)") $(if $(TAG),--tag "$(TAG)") \
	  $(if $(REPOSITORY),--repository "$(REPOSITORY)") $(if $(BASE),--base "$(BASE)") \
	  $(if $(AUTHORITIES),--authorities "$(AUTHORITIES)") $(if $(BUILDER),--builder "$(BUILDER)") -- $(OPTIONS)

package: setup-dev ## build the functions' packages and the template for a deployment to AWS (sam build)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build

# The delivery commands use the bucket DELIVERY_BUCKET and the caller's credentials, see docs/delivery.md.
DELIVERY = $(BIN)/python -m ops.delivery
release: setup-dev ## build and push the image of a version, once (VERSION, REPOSITORY)
	@$(DELIVERY) release --version "$(VERSION)" --repository "$(REPOSITORY)"

DEPLOYMENT = --env "$(ENV)" $(if $(VERSION),--version "$(VERSION)") $(if $(PLAN),--plan-only --output "$(PLAN)") \
  $(if $(CHANGE_SET),--change-set "$(CHANGE_SET)") $(if $(YES),--yes) $(if $(WAIT),--wait "$(WAIT)")
promote: setup-dev ## bring a release to an environment, after a review of its change set (ENV, VERSION)
	@$(DELIVERY) promote $(DEPLOYMENT)

rollback: setup-dev ## return to a version that ran well there, by default the previous one (ENV, VERSION)
	@$(DELIVERY) rollback $(DEPLOYMENT)

releases: setup-dev ## print what runs where, and what was deployed there
	@$(DELIVERY) status

settle: setup-dev ## record the revision of an environment's database (ENV, REVISION)
	@$(DELIVERY) settle --env "$(ENV)" --revision "$(REVISION)"

pipeline-role: setup-dev ## let a role of sam pipeline bootstrap deliver to an environment (ENV, ROLE, REPO=owner/name)
	@$(DELIVERY) role --env "$(ENV)" --role "$(ROLE)" --repository "$(REPO)"

# CONTRIBUTING.md says which tests are marked slow.
PYTEST := $(BIN)/python -m pytest
SEVERAL := -n 2 --dist loadfile --no-loadscope-reorder -m
test: setup lint ## lint, unit tests, the protocol's model, quick integration tests, one demonstration (some ten minutes)
	@$(PYTEST) $(SEVERAL) "not slow and not acceptance and not image" tests
	@$(PYTEST) -m "acceptance and not slow" tests/acceptance

test-all: test ## `make test`, then the slow tests, as CI runs them
	@$(PYTEST) $(SEVERAL) "slow and not acceptance and not image" tests
	@$(PYTEST) -m "acceptance and slow" tests/acceptance

test-fast: setup-dev ## run the unit tests
	@$(BIN)/python -m pytest -n 2 tests/unit

test-image: setup-dev ## build the real image and run every role of it (needs buildah and podman)
	@$(BIN)/python -m pytest -m image -rs tests/image

protocol: setup-dev ## run the model of the drain protocol over 100,000 steps (about half an hour)
	@PROTOCOL_STEPS=100000 $(BIN)/python -m pytest tests/model -k test_no_task --log-cli-level=INFO

compiled: setup-dev # compile the simulator's hot modules, if there is a compiler and the build is out of date
	@$(BIN)/python -m bench.sim.compiled

bench: setup-local compiled ## measure the functions, compare policies, write docs/benchmarks*.md (quickly: FLAGS="--seeds 1 --days 2 --concurrency 16")
	@failed=0; for part in "report $(FLAGS)" "micro.function --docs" micro.versions micro.page micro.template; do \
	  $(BIN)/python -m bench.$$part || failed=1; done; exit $$failed

REPLAY_ARGUMENTS = "$(HISTORY)" $(if $(QUEUE),--queue "$(QUEUE)") $(if $(WAIT),--wait "$(WAIT)") \
  $(if $(CONCURRENCY),--concurrency "$(CONCURRENCY)") $(if $(MINIMUM),--minimum "$(MINIMUM)") \
  $(if $(MAXIMUM),--maximum "$(MAXIMUM)") $(if $(BOOT_MEDIAN),--boot-median "$(BOOT_MEDIAN)") \
  $(if $(BOOT_P95),--boot-p95 "$(BOOT_P95)") $(if $(SEEDS),--seeds "$(SEEDS)")
replay: setup-dev compiled ## find the settings that suit your own history (HISTORY=task_instance.csv WAIT=60, see docs/replay.md)
	@$(BIN)/python -m bench.report replay $(REPLAY_ARGUMENTS)

pictures: setup-local ## draw the documentation's pictures of the Fleet page (needs chromium) and of `make demo`
	@FLEET_PICTURES=docs/images $(BIN)/python -m pytest -q tests/integration/agent/test_page_browser.py -k documentations
	@$(BIN)/python -m local demo && cp $(STATE)/demo.png $(STATE)/demo.svg docs/images/

lint: setup-dev ## ruff, mypy, cfn-lint, stale template
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python tools/words.py
	@$(BIN)/python template_gen.py --check
	@$(BIN)/cfn-lint template.yaml

format: setup-dev ## format and fix what can be fixed
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

template: setup-dev ## write template.yaml and docs/reference.md
	@$(BIN)/python template_gen.py

LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
# The Celery provider's release day: later releases of its dependencies were not tested with it.
AIRFLOW_AS_OF := 2026-10-25
lock: setup-dev ## renew the locks from their .in files (UPGRADE=--upgrade for newer versions)
	@$(LOCK) $(UPGRADE) requirements/dev.in -o requirements/dev.txt
	@$(LOCK) $(UPGRADE) requirements/checkov.in -o requirements/checkov.txt
	@$(LOCK) $(UPGRADE) functions/requirements.in -o functions/requirements.txt
	@$(LOCK) $(UPGRADE) airflow_image/build.in -o airflow_image/build.txt
	@$(LOCK) $(UPGRADE) --exclude-newer $(AIRFLOW_AS_OF) airflow_image/requirements.in -o airflow_image/requirements.txt

clean: ## remove environments, state and build output
	@rm -rf .venv .venv-airflow .venv-checkov .local .aws-sam
