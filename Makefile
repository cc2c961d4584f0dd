# make train   make the environment, train the quickstart, print a sample and the held-out perplexity
# make test    make the environment, run the tests
# make check   tests, linters, types, the direction of imports: what continuous integration runs

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/charlm

.PHONY: train test lint check clean

train: .venv/installed
	$(RUN) train

test: .venv/installed-dev
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check charlm tests
	$(BIN)/ruff format --check charlm tests
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("charlm needs Python 3.11 or newer: make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
