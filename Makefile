# Everything a newcomer needs: only make and a Python of 3.11 or newer have to be there already.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LINKED := $(VENV)/.linked
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 2

.DEFAULT_GOAL := help
.PHONY: help demo up test test-all chaos flood hostile storm large bench coverage lint docs migrations lock previous-release clean
.SUFFIXES:

help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(LINKED) ## play a few dozen cancellations against a simulated insurer, and show how each ended
	@$(BIN)/python -m tests.demo

up: $(LINKED) ## start everything and stay up: gateway on port 8000 (or PORT), Flower on 5555
	@$(BIN)/python -m tests.demo --stay

# Three at once on two cores: they wait for leases, sockets and disks about as long as they compute.
test: lint migrations ## everything that guards the project: lint, migrations, all tests
	@$(BIN)/pytest --quiet --numprocesses 3

test-all: lint # every test on both databases, every story for each way in which XCover may treat our keys
	@EVERY_TELLING=1 $(BIN)/pytest --quiet --numprocesses 3

chaos: $(LINKED) ## kill, stop and wipe everything while cancellations flow; JOBS=5000 MINUTES=20 for long
	@$(BIN)/python -m tests.chaos

flood: $(LINKED) # 20,000 waiting jobs and one slow worker: how many messages that makes
	@$(BIN)/python -m tests.chaos.flood

hostile: $(LINKED) # a million hostile requests to the gateway; REQUESTS=… for another number
	@$(BIN)/python -m tests.hostile

storm: $(LINKED) # 100,000 verified events, repeated, reordered, early; EVENTS=… for another number
	@$(BIN)/python -m tests.storm

large: $(LINKED) # a million cancellations: every list, search, page and figure timed; CANCELLATIONS=… for another number
	@$(BIN)/python -m tests.large

bench: $(LINKED) ## how fast it is, beside others in the same run: taking webhooks, taking cancellations
	@$(BIN)/python -m bench.webhooks
	@$(BIN)/python -m bench.intake

coverage: $(LINKED) ## all tests once more, to show which lines and branches they reach
	@$(BIN)/pytest --quiet --numprocesses 3 --cov --cov-report=term

lint: $(LINKED) ## format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet . || { echo 'Not formatted. Run: $(BIN)/ruff format .' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >$(VENV)/imports.log || { cat $(VENV)/imports.log >&2; exit 1; }

docs: $(LINKED) ## draw the generated parts of README.md and docs/ anew
	@$(BIN)/python docs/generate.py

migrations: $(LINKED) # the migrations build exactly the tables of shared/models.py
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	export DATABASE_URL="sqlite:///$$folder/check.db" && \
	$(BIN)/alembic upgrade head && $(BIN)/alembic check

lock: $(INSTALLED) ## compile the lock files from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--output-file requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--extra dev --constraint requirements.txt --output-file requirements-dev.txt

previous-release: # the release before the newest migration, for the tests of deploying: REV=its commit
	@git archive --format=tar.gz --output=tests/deploys/previous.tar.gz $(REV) shared workers webhook_gateway pyproject.toml

clean: ## remove what make has made: the virtual environment, caches, logs and reports
	@rm -rf $(VENV) .cache .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis var/demo var/chaos var/bench var/hostile.json var/storm
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The package itself, so that its commands are there; it changes only with pyproject.toml.
$(LINKED): pyproject.toml $(INSTALLED)
	@$(PIP) install --no-deps --no-build-isolation --editable . >$(VENV)/install.log 2>&1 || \
		{ cat $(VENV)/install.log >&2; exit 1; }
	@touch $@

$(INSTALLED): requirements-dev.txt $(BIN)/python
	@echo 'Installing what requirements-dev.txt names into $(VENV) …'
	@$(PIP) install --requirement requirements-dev.txt --require-hashes >$(VENV)/install.log 2>&1 || { \
		tail -n 5 $(VENV)/install.log >&2; \
		if grep -qiE 'connection|resolution|network|proxy|timed out|unreachable' $(VENV)/install.log; then \
			echo 'Not installed: no package index could be reached. Check the network (and proxy), then run make again.' >&2; \
		else \
			echo 'Not installed: the whole story is in $(VENV)/install.log.' >&2; \
		fi; \
		exit 1; }
	@touch $@

$(BIN)/python:
	@for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Creating $(VENV) with $$($$python --version) …"; \
			$$python -m venv $(VENV) && exit 0; \
			rm -rf $(VENV); exit 1; \
		fi; \
	done; \
	echo 'Python 3.11 or newer is needed, with its venv module (on Debian and Ubuntu: apt install python3-venv).' >&2; \
	exit 1
