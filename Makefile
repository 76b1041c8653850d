# Every target that has a "##" is in the help. Recipes longer than three lines live in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help demo install test fuzz test-draws silent-faults test-slow test-docker check format lint types imports cover \
	openapi reference generated bench bench-tei bench-search constraints up down doctor clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.demo-installed ## Install, ingest this project's own docs, run three searches
	@VENV="$(abspath $(VENV))" scripts/demo.sh

install: $(VENV)/.dev-installed ## Install everything the tests and checks need

test: $(VENV)/.dev-installed ## Run the tests: no Docker, no GPU, no model hub
	$(BIN)/python -m pytest -q $(PYTEST_ARGS)

test-slow: $(VENV)/.dev-installed ## Run the tests that take minutes
	$(BIN)/python -m pytest -q -m "slow and not docker and not gpu" $(PYTEST_ARGS)

fuzz: $(VENV)/.dev-installed ## Run the property tests on examples that are drawn anew
	$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=fresh $(PYTEST_ARGS)

test-draws: $(VENV)/.dev-installed ## Run the tests with every random pause at its shortest, then at its longest
	$(BIN)/python -m pytest -q --draws=low $(PYTEST_ARGS)
	$(BIN)/python -m pytest -q --draws=high $(PYTEST_ARGS)

silent-faults: $(VENV)/.dev-installed ## Inject every known silent fault: caught / tried, and docs/silent-faults.md
	$(BIN)/python -m tests.silent_faults.page
	$(BIN)/python -m pytest -q tests/silent_faults $(PYTEST_ARGS)

test-docker: $(VENV)/.dev-installed ## Run the tests that start containers (needs Docker)
	$(BIN)/python -m pytest -q -m docker $(PYTEST_ARGS)

check: lint types imports generated cover ## All that must be green before a change lands

format: $(VENV)/.dev-installed ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev-installed ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev-installed ## Check types (pyright, strict)
	$(BIN)/pyright

imports: $(VENV)/.dev-installed ## Check who imports whom
	$(BIN)/lint-imports

cover: $(VENV)/.dev-installed ## Run the tests with branch coverage
	$(BIN)/python -m pytest -q --cov --cov-report=term $(PYTEST_ARGS)

generated: $(VENV)/.dev-installed ## Check that the generated references are unchanged
	$(BIN)/python scripts/export_openapi.py --check
	$(BIN)/python scripts/reference.py --check

openapi: $(VENV)/.dev-installed ## Write docs/reference/openapi.json anew
	$(BIN)/python scripts/export_openapi.py

reference: $(VENV)/.dev-installed ## Write settings.md, errors.md and doctor.md of docs/reference anew
	$(BIN)/python scripts/reference.py

bench: $(VENV)/.dev-installed ## Measure speed and size against the budgets
	$(BIN)/python scripts/bench.py

bench-tei: $(VENV)/.dev-installed ## Measure the TEI client beside bare ones (BENCH_ARGS=--write keeps it)
	$(BIN)/python scripts/bench_tei.py $(BENCH_ARGS)

bench-search: $(VENV)/.dev-installed ## Measure searches: filters, short vectors, hybrid, explain
	$(BIN)/python scripts/bench_search.py $(BENCH_ARGS)

constraints: $(VENV)/.dev-installed ## Resolve constraints.txt anew: every Python and platform, no torch, no hosts
	scripts/constraints.sh "$(BIN)/python"

up: ## Start TEI on the CPU, Qdrant and the gateway (Docker; secrets in .env)
	docker compose --profile cpu up --build --detach --wait

down: ## Stop them; the volumes stay
	docker compose --profile cpu --profile gpu --profile gpu-bf16 down

doctor: $(VENV)/.demo-installed ## Check the configured encoder, store and collections
	$(BIN)/gateway doctor

clean: ## Remove the virtual environment, the demo's data and caches
	rm -rf $(VENV) .demo .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*

$(VENV)/bin/python:
	@scripts/make_venv.sh "$(VENV)"

$(VENV)/.demo-installed: $(INPUTS) | $(VENV)/bin/python
	@echo "Installing the gateway into $(VENV) (about 430 MB; a minute or two the first time) ..."
	@$(PIP) install -q -c constraints.txt -e '.[embedded,eval]'
	@touch $@

$(VENV)/.dev-installed: $(INPUTS) scripts/install_torch.py | $(VENV)/bin/python
	$(BIN)/python scripts/install_torch.py
	$(PIP) install -q -c constraints.txt -e '.[embedded,local,valkey,eval,dev]'
	@touch $@ $(VENV)/.demo-installed
