# Everything that can be done with a checkout. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ORACLE := .venv-oracle

.PHONY: demo test fast page soak oracle record lint format docs bench instructions clean
.DEFAULT_GOAL := test

$(VENV)/.made:
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
	  { echo 'error: `$(PYTHON)` is not Python 3.11 or newer with venv and ensurepip' >&2; \
	    echo 'hint: on Debian `apt-get install python3-venv`, or name another: `make PYTHON=python3.12`' >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip  # a script that loads less
	touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[examples]'
	touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	touch $@

$(VENV)/.page: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,page]'
	touch $@

demo: $(VENV)/.demo  ## Run a real experiment and show it
	cd examples/digits && PATH="$(CURDIR)/$(BIN):$$PATH" sh demo.sh
	rm -rf build/checkpoints && mkdir -p build && cp -r examples/checkpoints build/
	cd build/checkpoints && PATH="$(CURDIR)/$(BIN):$$PATH" sh demo.sh

test: $(VENV)/.test  ## Run the default test suite
	$(BIN)/python -m pytest -n auto $(ARGS)

FAST := tests/test_api.py tests/test_floors.py tests/test_imports.py tests/exps \
  $(addprefix tests/cli/test_, checkout_commit.py exp_run.py exp_show.py repro.py status.py) \
  $(addprefix tests/engine/test_, compile.py journal.py run.py runcache.py) \
  $(addprefix tests/pipeline/test_, dvcyaml.py edit.py expand.py params.py template.py) \
  $(addprefix tests/store/test_, check.py ledger.py locks.py pool.py record.py refs.py snapshot.py \
    store.py tree.py walk.py) \
  tests/compat/test_goldens.py tests/crash/test_kill.py

fast: $(VENV)/.test  ## Run a part of the suite that takes a minute: something of every layer
	$(BIN)/python -m pytest -n auto $(FAST) $(ARGS)

page: $(VENV)/.page  ## Drive the HTML page in Chromium, which has to be installed
	$(BIN)/python -m pytest -m browser tests/page $(ARGS)

soak: $(VENV)/.test  ## Run the long tests: many rounds of what `make test` samples
	$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

$(ORACLE)/.made: pyproject.toml
	$(PYTHON) -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check '.[oracle]'
	touch $@

oracle: $(VENV)/.test $(ORACLE)/.made  ## Compare with DVC itself; DODO_EXAMPLES=5000 for long
	DODO_ORACLE=$(CURDIR)/$(ORACLE)/bin/python $(BIN)/python -m pytest -m oracle --timeout 3600 $(ARGS)

record: $(VENV)/.test $(ORACLE)/.made  ## Record anew what DVC makes of tests/compat/cases
	DODO_ORACLE=$(CURDIR)/$(ORACLE)/bin/python $(BIN)/python -m tests.compat.record $(ARGS)

lint: $(VENV)/.lint  ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.lint  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.test  ## Write the generated part of the reference anew
	$(BIN)/python docs/generate.py

bench: $(VENV)/.test  ## Measure beside DVC, make, ninja, doit, git, restic and others; ARGS=--quick
	$(BIN)/python -m tests.bench.bench $(ARGS)

instructions: $(VENV)/.test  ## Count the instructions of a few commands, beside those on record
	$(BIN)/python -m tests.bench.instructions $(ARGS)

clean:
	rm -rf $(VENV) $(ORACLE) build dist .mypy_cache .pytest_cache .ruff_cache
