# make demo   a whole campaign on ethanol        make test   checks and the test suite
# Both first create .venv and install requirements.lock; both can be repeated at any time.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock)
TRITON := $(shell sed -n 's/^\(triton==[^ ;]*\).*/\1/p' requirements.lock)

# make PYTHON=/path/to/python3.12 demo     the interpreter that makes .venv
PYTHON ?=
# make TORCH_INDEX=https://download.pytorch.org/whl/cpu demo     PyTorch without CUDA: a far smaller download
TORCH_INDEX ?=
# make TESTS="tests/potential -k rotation" test     a part of the suite
TESTS ?= tests
# the least part of the lines, in %, that the suite must run in its own process
COVERAGE := 93

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo fast test coverage lint format setup lock clean distclean

help:  ## this list
	@echo "alnico: active learning of interatomic potentials with NequIP committees"
	@echo
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo "Options:  PYTHON=/path/to/python3.12   the interpreter that makes .venv"
	@echo "          TORCH_INDEX=https://download.pytorch.org/whl/cpu   PyTorch without CUDA"

demo: $(INSTALLED)  ## learn a potential for ethanol from nothing, in campaigns/ethanol_demo
	@$(BIN)/alnico run examples/ethanol_demo.yaml

fast: $(INSTALLED)  ## the tests of minutes, on two cores, without whole campaigns and killed processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist worksteal -m "not slow and not whole" $(TESTS)

test: lint  ## lint, types, architecture, then the test suite on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist worksteal $(TESTS)

coverage: lint  ## the same, and how much of the code it ran: what continuous integration runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist worksteal \
	  --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE) tests

lint: $(INSTALLED)  ## ruff, clang-format, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror potential/kernels/*.h potential/kernels/*.cpp
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(INSTALLED)  ## let ruff and clang-format mend what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i potential/kernels/*.h potential/kernels/*.cpp

setup: $(INSTALLED)  ## .venv with the pinned packages, and nothing else

lock:  ## resolve the dependencies of pyproject.toml anew and write requirements.lock
	rm -rf build/lock && "$$(scripts/find-python)" -m venv build/lock
	build/lock/bin/pip install --quiet $(or $(TORCH),torch) $(TRITON)
	build/lock/bin/pip install --quiet --editable '.[dev]'
	{ sed -n '/^#/p;/^#/!q' requirements.lock; \
	  build/lock/bin/pip freeze --all --exclude pip --exclude-editable \
	  | sed -e 's/^\(torch==[^+]*\)+.*/\1/' -e 's/^triton==.*/& ; platform_system == "Linux"/' \
	  | grep -Ev '^(nvidia-|cuda-)'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock && rm -rf build/lock

clean:  ## remove caches and build products; campaigns and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -path ./$(VENV) -prune -o -path ./campaigns -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean  ## clean, and remove .venv; campaigns stay
	rm -rf $(VENV)

# PyTorch comes first and alone, so that TORCH_INDEX applies to it and to nothing else.
$(INSTALLED): requirements.lock pyproject.toml
	@python=$$(PYTHON="$(PYTHON)" scripts/find-python) || exit 1; \
	 if ! $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	   echo "creating $(VENV) with $$python ($$($$python -V))"; \
	   $$python -m venv --clear $(VENV) || { \
	     echo "$$python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	 fi
	@echo "installing $(TORCH), then the rest of requirements.lock (a few minutes the first time)"
	@$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@$(BIN)/pip install --quiet --requirement requirements.lock
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@
