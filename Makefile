# make demo   install what the tutorial pipeline needs, and run it
# make test   install everything the tests need, and run them all
# Both are safe to run twice: the second time installs nothing.

PYTHON ?= python3
VENV   ?= .venv
# Test files that run at the same time.
WORKERS ?= 2
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := $(VENV)/stamps

.DEFAULT_GOAL := help
.PHONY: help install demo test check format laws chaos bench notebooks docs clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlflowkit needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)

$(STAMPS)/demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/demo

$(STAMPS)/bench: $(STAMPS)/dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

install: $(STAMPS)/demo  ## Make .venv and install mlflowkit with the demo's extras
demo: $(STAMPS)/demo  ## Run the tutorial pipeline: images in S3 to a served model; ARGS='--style classic'
	$(BIN)/mlflowkit demo $(ARGS)

test: $(STAMPS)/dev  ## All tests, and the notebooks; ARGS=... for some of the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
ifeq ($(strip $(ARGS)),)
	MLFLOWKIT_HOME=$$(mktemp -d)/home $(BIN)/python -m pytest --nbval-lax notebooks
endif

check: $(STAMPS)/dev  ## Format, lint, layers, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright

format: $(STAMPS)/dev  ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

laws: $(STAMPS)/dev  ## The laws of the core, with many more examples
	HYPOTHESIS_PROFILE=night $(BIN)/python -m pytest --timeout 0 tests/core/test_machine_laws.py $(ARGS)
	$(BIN)/python scripts/mutants.py

chaos: $(STAMPS)/dev  ## Kill the engine and its workers, over and over
	$(BIN)/python -m pytest tests/chaos $(ARGS)

bench: $(STAMPS)/bench  ## Speed and memory, as ratios in one run
	$(BIN)/python -m benches $(ARGS)

notebooks: $(STAMPS)/dev  ## Run the notebooks as tests
	MLFLOWKIT_HOME=$$(mktemp -d)/home $(BIN)/python -m pytest --nbval-lax notebooks

docs: $(STAMPS)/dev  ## Write the generated pages
	$(BIN)/python -m docs.generate

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
