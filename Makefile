# make demo   sets everything up in .venv and runs the main job
# make test   sets everything up in .venv and runs the tests
# make full   every large search, for hours; its last lines name the commit and the day
# make docs   builds the site of docs/ in build/docs, strictly
# make engines    the same with every engine, and the tests that run them: minutes more

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# pytest-xdist 3.8 waits for ever for the groups of a process that died, once another stands in for it.
CRASHES := --max-worker-restart=0

.PHONY: demo test full engines lint docs bench clean

demo: $(VENV)/.installed
	$(RUN) -m rnnbench export

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -n auto --dist loadgroup $(CRASHES) --durations=30 --durations-min=8

full: $(VENV)/.installed-dev
	$(RUN) -m pytest -n auto --dist loadgroup $(CRASHES) --full -m "" --timeout 7200

engines: $(VENV)/.installed-dev
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[dev,engines]"
	$(RUN) -m pytest -n auto --dist loadgroup $(CRASHES) tests/checking/test_conformance.py \
		tests/formats/test_portable_engines.py tests/formats/test_ragged.py \
		tests/runtimes/test_engine_runtimes.py tests/runtimes/test_runtimes.py \
		tests/benchmarking/test_bench.py

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed-docs
	$(RUN) -m sphinx --fail-on-warning --keep-going --quiet -c docs . build/docs
	@echo "written to build/docs/index.html"

bench: $(VENV)/.installed-dev
	$(RUN) -m rnnbench bench

clean:
	rm -rf $(VENV) .ci-venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "rnnbench needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@ $(VENV)/.installed
