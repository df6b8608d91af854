# One entry for every chore. Each target does its own set-up, so that any of them is the first command in a new clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := $(VENV)/.bench
UV_VERSION := 0.13.9
LOCK := out/lock
COMPILE = $(LOCK)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 $(ARGS)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo test harm chaos check bench bench-quality up lint types imports format env lock clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv with exactly the hashed requirements; does nothing when it is up to date
	@:

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Vyaz needs Python 3.11 or newer; name one: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV); a few minutes the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## The main job end to end: servers up, train, generate 500 variants, contact sheet in out/demo
	@$(BIN)/python -m vyaz.demo $(ARGS)

test: install  ## All tests but chaos, on real PostgreSQL and Valkey; ARGS="tests/core -k ring" for some
	$(BIN)/python -m pytest -q $(or $(ARGS),--ignore=tests/chaos)

harm: install  ## Each fault once or twice, under eight minutes
	$(BIN)/python -m pytest -q tests/chaos

chaos: install  ## Every fault, many times, about an hour; then the table of what was measured
	$(BIN)/python -m pytest -q -m "chaos or not chaos" tests/chaos --junitxml=out/chaos/junit.xml $(ARGS)
	@$(BIN)/python -m tests.chaos.report out/chaos/junit.xml

check: lint types imports test harm  ## What .ci/run runs: format, lint, types, import rules, then all tests

$(BENCH): requirements/bench.txt | install
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(BENCH)  ## The side-by-side benchmark; ARGS="claims ingest --rows 5000000 --write docs/results/bench.md"
	@$(BIN)/python -m bench $(ARGS)

bench-quality: install  ## What the shipped letters measure beside their goals; ARGS="--dataset FILE.npz"; under ten minutes
	@$(BIN)/python -m bench.quality $(ARGS)

up: install  ## Start everything on this machine; ARGS="--port 8000 --data DIR"
	@$(BIN)/vyaz up $(ARGS)

lint: install  ## Format check and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install  ## mypy --strict
	$(BIN)/mypy

imports: install  ## Import rules: who may import whom, and where torch may not come
	$(BIN)/lint-imports

format: install  ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

env: install  ## Write .env.example anew from core/settings.py
	$(BIN)/python -m tests.env_example > .env.example

lock: $(LOCK)/bin/uv  ## Write requirements/*.txt anew from pyproject.toml, keeping versions that still fit
	$(COMPILE) pyproject.toml -o requirements/api.txt
	$(COMPILE) --extra worker --extra fonts pyproject.toml -o requirements/worker.txt
	$(COMPILE) --extra worker --extra embedded --extra fonts --extra dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) --all-extras -c requirements/dev.txt pyproject.toml -o requirements/bench.txt
	$(COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt

$(LOCK)/bin/uv:
	@$(PYTHON) -m venv --clear $(LOCK)
	@$(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:  ## Remove .venv, caches and out/; the data folder of `vyaz up` stays
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
