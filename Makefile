# make train       create the environment, train quickstart, print a sample and the test perplexity
# make test        create the environment, run the tests (under 5 minutes)
# make test-long   run the tests that take longer, and property tests with more, random inputs
# make test-oldest run the tests with the oldest versions that pyproject.toml accepts, in .venv-oldest
# make test-cuda   run what needs a GPU with PYTHON, whose torch stays; DEVICE=cpu tests these tests
# make format      format the code and sort the imports
# make check       run what CI runs: linters, types, import directions, the wheel, the tests
# make wheels      write wheels that carry compiled kernels to dist/ (needs g++; minutes for each system)
# make reference   write configs/REFERENCE.md, the reference of all config keys
# make web-kernel  compile the WebAssembly of exported pages again, with Zig from PyPI
# make picture     train quickstart and draw its losses for the README

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/charlm

.PHONY: train test test-long test-oldest test-cuda format lint wheel wheels check picture reference web-kernel clean

train: .venv/installed
	$(RUN) train

# Tests start many Pythons; each would compile charlm again where no bytecode may be written.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-long: .venv/installed-dev
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m pytest -m 'hypothesis and not long and not cuda' --hypothesis-profile explore \
	  -o faulthandler_timeout=0

test-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pytest -n 2 --dist worksteal

# It installs nothing: PYTHON has torch with CUDA and the other dependencies (see CONTRIBUTING.md).
DEVICE ?= cuda
test-cuda:
	$(PYTHON) -m pytest -m cuda tests/cuda --device $(DEVICE)
	$(PYTHON) -m charlm bench --seconds 0.3 --set training.device=$(DEVICE)

format: .venv/installed-dev
	$(BIN)/ruff check --fix --select I charlm tests .github
	$(BIN)/ruff format charlm tests .github

lint: .venv/installed-dev
	$(BIN)/ruff check charlm tests .github
	$(BIN)/ruff format --check charlm tests .github
	$(BIN)/mypy
	$(BIN)/lint-imports

# Check that the wheel has its configs and texts, in a fresh environment outside the checkout.
wheel:
	rm -rf build/wheel && mkdir -p build/wheel/elsewhere
	$(PYTHON) -m venv build/wheel/env
	build/wheel/env/bin/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	build/wheel/env/bin/python -m pip install --quiet --constraint constraints.txt build/wheel/*.whl
	cd build/wheel/elsewhere && ../env/bin/charlm train textbook-random --set training.epochs=2
	cd build/wheel/elsewhere && ../env/bin/charlm generate --length 20
	cd build/wheel/elsewhere && ../env/bin/charlm train --quiet --budget 3s

SYSTEMS := manylinux_2_17_x86_64 manylinux_2_17_aarch64 macosx_11_0_arm64 macosx_10_13_x86_64 win_amd64
wheels: .venv/installed
	for system in $(SYSTEMS); do \
	  CHARLM_WHEEL=$$system $(BIN)/python -m pip wheel --verbose --no-deps --wheel-dir dist . || exit; done
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

check: lint wheel test

reference: .venv/installed
	$(BIN)/python -m charlm.config.reference > configs/REFERENCE.md

# The page's code is in the repository, so that only who changes integer_kernel.c needs Zig.
web-kernel:
	test -d build/zig || $(PYTHON) -m venv build/zig
	build/zig/bin/python -m pip install --quiet ziglang==0.17.1
	build/zig/bin/python .github/build_web_kernel.py

picture: .venv/installed
	$(RUN) train --quiet --runs build/picture
	$(BIN)/python .github/draw_training.py "$$(ls -td build/picture/*/ | head -1)" > .github/training.svg

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	test -d .venv-oldest || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable '.[dev,plots,tensorboard]'
	@touch $@

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("charlm needs Python 3.11 or newer: make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .venv-oldest build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
