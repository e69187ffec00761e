# Everything that people run: `make demo`, `make test`. Needs Python and make; the rest is set up in .venv.
PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
FRAMEWORKS := .venv-frameworks
DOCS := .venv-docs
BENCH := .venv-bench
BIN := $(VENV)/bin

# Bytecode is kept, whatever the environment says: the tests start hundreds of Pythons.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-long lint types lowest frameworks bench docs pictures wheel check clean nightly audit

help:
	@echo "make demo    train a small GRPO job twice, plain wandb.log and bridge, and compare"
	@echo "make test    the tests, in five minutes"
	@echo "make test-long  those that take longer: soaks, kills again and again, memory"
	@echo "make lint    ruff"
	@echo "make types   mypy --strict"
	@echo "make frameworks  the tests with transformers, TRL, Lightning and accelerate"
	@echo "make bench   measure beside what people would pick instead; writes docs/performance.md (ARGS=--quick to try)"
	@echo "make lowest  the tests with the lowest versions supported"
	@echo "make docs    the site, into build/site"
	@echo "make pictures  those of the docs"
	@echo "make wheel   build, install into empty environments, try the commands of the README"
	@echo "make nightly the laws, for minutes instead of seconds"
	@echo "make audit   known vulnerabilities of what is installed"
	@echo "make check   lint, types and tests"

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/otel-wandb demo $(ARGS)

# Most of these tests wait for processes of their own, so that two cores take three at a time.
IN_PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.ready
	$(BIN)/python -m pytest $(IN_PARALLEL) -m "not long" $(ARGS)

test-long: $(VENV)/.ready
	$(BIN)/python -m pytest $(IN_PARALLEL) -m long $(ARGS)

# What people would pick instead has many dependencies: an environment of its own. ARGS: --quick, --only W1,W3, --rounds.
$(BENCH)/.ready: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(BENCH)/.ready
	$(BENCH)/bin/python -m benchmarks $(if $(ARGS),$(ARGS),--write)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

# The lowest versions that pyproject.toml allows, as tests/lowest.txt pins them.
$(LOWEST)/.ready: pyproject.toml tests/lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' --constraint tests/lowest.txt
	@touch $@

# tests/lowest_leaves_out.txt names what old versions cannot do: two scripts call `configure` again and again, which
# adds a reader to the global provider (SDK 1.43); children forked beside wandb 0.18 break the parent's connection to its
# service, and a spawned one cannot unpickle the run; its disabled run prints a warning; it cannot start another
# service after one was killed, and raises where its own log finds no room on the disk. In its file, a key that a glob
# matches stands as if it had been defined by name; no other process can take its run along, so none writes for it;
# the first call after a teardown is lost without a word, where the drop-in has it raise; it has one run at a time in a
# process; calls that several threads make past the drop-in while it is put on and taken off may be missed by its own
# count of steps, by which it then drops rows; each row is sent to its service by itself.
lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest $(IN_PARALLEL) -m "not long" @tests/lowest_leaves_out.txt $(ARGS)

# PyTorch first and by itself, so that nothing else chooses another build of it.
TORCH := torch==2.13.0
# verl by itself: it would have other versions of all the rest. What its tracking imports is in the extra.
VERL := verl==0.9.1
$(FRAMEWORKS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[frameworks]'
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps '$(VERL)'
	@touch $@

frameworks: $(FRAMEWORKS)/.ready
	$(FRAMEWORKS)/bin/python -m pytest tests/frameworks $(ARGS)

# The reference is read from the sources: nothing of ours is installed for it.
$(DOCS)/.ready: requirements-docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-docs.txt
	@touch $@

docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --site-dir build/site

pictures: $(VENV)/.ready
	$(BIN)/otel-wandb demo --no-plot --dir build --picture docs/pictures/demo.png

# Built, installed into empty environments by the commands of the README, and used there.
wheel: $(VENV)/.ready
	rm -rf build dist $(VENV)-wheel
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(VENV)-wheel
	INSTALLED=$(VENV)-wheel $(BIN)/python -m pytest tests/installed $(ARGS)

# The state machines and fuzz tests with fifty times the examples.
LAWS := tests/test_bridge_laws.py tests/test_totals_laws.py tests/reconcile/test_laws.py tests/testing/test_wandb_file.py
nightly: $(VENV)/.ready
	$(BIN)/python -m pytest --hypothesis-profile nightly --timeout 3600 --numprocesses 2 --dist loadfile $(LAWS) $(ARGS)

audit: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip_audit --local --progress-spinner off

check: lint types test

clean:
	rm -rf $(VENV) $(LOWEST) $(FRAMEWORKS) $(BENCH) $(DOCS) $(VENV)-wheel build dist .mypy_cache .pytest_cache .ruff_cache
