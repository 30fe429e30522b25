# Each target does its own set-up: Python 3.11+ and the package index are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A process a core; who has nothing left takes tests from another.
PYTEST := pytest -n auto --dist worksteal

# The real files, as the tests find them.
DATA ?= $(or $(NATSDB_TEST_DATA),../shared/data)

.PHONY: help demo builtin test test-oldest test-python test-all mutants bench lint docs clean

help:  ## list what one can do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[plot,lint]'
	@touch $@

# PyTorch takes gigabytes, and what tests need a minute, so the demo does without. xautodl is the oracle of the networks'
# tests; it asks for packages long gone, none of which its networks use. Ray is long in coming for a new Python: without it,
# its tests are skipped.
$(VENV)/.tested: $(VENV)/.installed tests/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c tests/constraints.txt -e '.[test,training]'
	-$(BIN)/pip install --quiet --disable-pip-version-check -c tests/constraints.txt -e '.[ray]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps xautodl==1.0.0
	@touch $@

.venv-oldest/.tested: pyproject.toml tests/constraints-oldest.txt
	python3.11 -m venv --clear .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check -c tests/constraints-oldest.txt -e '.[test,training]'
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check --no-deps xautodl==1.0.0
	@touch $@

demo: $(VENV)/.installed  ## ingest an archive (ARCHIVE=PATH) or a generated one, ask five questions, draw a picture
	$(BIN)/natsdb demo $(if $(ARCHIVE),--archive "$(ARCHIVE)")

builtin: $(VENV)/.installed  ## make the database that comes with the package anew, to the same bytes (DATA=DIR)
	$(BIN)/python -m natsdb.ingest.builtin $(DATA)

test: $(VENV)/.tested  ## the test suite
	$(BIN)/$(PYTEST)

test-oldest: .venv-oldest/.tested  ## the test suite on Python 3.11 with the oldest releases of everything
	.venv-oldest/bin/$(PYTEST)

test-python:  ## the test suite on another Python (PYTHON=python3.13), in an environment of its own
	$(MAKE) test VENV=.venv-$(notdir $(PYTHON)) PYTHON=$(PYTHON)

# Syne Tune brings 700 MB with it.
test-all: $(VENV)/.tested  ## the test suite with the slow tests (kills, mutations)
	-$(BIN)/pip install --quiet --disable-pip-version-check -e '.[syne-tune]'
	$(BIN)/$(PYTEST) -m ''

mutants: $(VENV)/.tested  ## small wrong changes to the core, one at a time: which of them the tests find (hours)
	$(BIN)/pip install --quiet --disable-pip-version-check 'cosmic-ray>=8.4' 'coverage>=7.6'
	$(BIN)/python tests/mutants.py $(MUTANTS)

bench: $(VENV)/.tested  ## measure ingest and queries at full scale, as ratios (needs 4 GB of disk, an hour at first)
	$(BIN)/pytest tests/benchmarks -m '' --benchmark-only --benchmark-columns=min,median,rounds -s

lint: $(VENV)/.installed  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p natsdb

docs: $(VENV)/.installed  ## build the documentation into build/site
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## remove what the other targets made
	rm -rf .venv .venv-* build dist demo .bench *.egg-info
