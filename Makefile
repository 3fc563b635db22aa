# Everything here sets itself up: a machine with Python 3.11 or newer and make is enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The models of the tests are tiny: threads of their own would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: install demo docs docs-links test test-slow test-all lint format clean

install: $(VENV)/installed

demo: $(VENV)/installed
	$(BIN)/aevlp demo

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -b html -n -W --keep-going docs build/docs

# Asks every other host that a page leads to.
docs-links: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -b linkcheck -n docs build/links

test: $(VENV)/installed-dev lint
	$(PYTEST) -m "not slow and not gpu"

test-slow: $(VENV)/installed-dev
	$(PYTEST) -m "slow and not gpu"

test-all: $(VENV)/installed-dev lint
	$(PYTEST) -m "not gpu" --cov --cov-fail-under=90

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aevlp needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/installed-docs: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@ $(VENV)/installed

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@ $(VENV)/installed $(VENV)/installed-docs
