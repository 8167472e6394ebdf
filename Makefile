# Everything runs from a virtual environment in .venv, made on first use from requirements.lock.
# Needed on the machine: make, and python3 (3.11 or newer) with venv.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
# What was installed last, so that a target sets up again only when the lock or the package's own metadata change.
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-build test test-all lint docs bench lock

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: $(STAMP) ## make .venv with the locked dependencies; the command is then .venv/bin/auditkit

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "auditkit needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1 || echo missing)."; \
	  echo "Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module; install it first (on Debian and Ubuntu: the package python3-venv)."; exit 1; }
	@echo "Setting up .venv (about a minute, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
	@echo "Ready: $(BIN)/auditkit"

demo: $(STAMP) ## run a small benchmark live with the model inside the process, audit it and write its report
	@$(BIN)/auditkit demo --out out/demo

demo-build: $(STAMP) ## build a small benchmark from prompts: those of ../shared/data where they are, else our own
	@$(BIN)/python bench/demo_build.py out/demo-build

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest -n auto --dist worksteal; code=$$?; echo "pytest exit code: $$code"; exit $$code

test-all: $(STAMP) ## run the tests, slow ones included
	@$(BIN)/python -m pytest -n auto --dist worksteal -m ""; code=$$?; echo "pytest exit code: $$code"; exit $$code

lint: $(STAMP) ## ruff, mypy and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the site of docs/ into out/docs; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file docs/mkdocs/mkdocs.yml
	@echo "site: out/docs/index.html"

bench: $(STAMP) ## measure the speed against peers and write docs/benchmarks.md
	$(BIN)/python bench/run.py

lock: $(STAMP) ## choose the dependencies anew and write requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.lock
