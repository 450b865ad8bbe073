# make demo   sets everything up in .venv and runs the main job
# make test   sets everything up in .venv and runs the tests
# make engines    the same with every engine, and the tests that run them: minutes more

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: demo test engines lint bench clean

demo: $(VENV)/.installed
	$(RUN) -m rnnbench export

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -n auto --dist loadgroup

engines: $(VENV)/.installed-dev
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[dev,engines]"
	$(RUN) -m pytest -n auto --dist loadgroup tests/checking/test_conformance.py \
		tests/formats/test_portable.py tests/formats/test_ragged.py \
		tests/runtimes/test_engine_runtimes.py tests/runtimes/test_runtimes.py \
		tests/benchmarking/test_bench.py

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

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
