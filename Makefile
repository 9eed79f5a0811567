# Everything a newcomer needs: make demo, make serve, make test, make lint, make bench.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo serve test full lint bench clean

# Two stamps: what running needs, and what developing needs on top.
.venv/service: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("fewstep wants Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[service]'
	touch $@

.venv/dev: .venv/service
	$(PIP) -e '.[dev]'
	touch $@

demo: .venv/service  ## the whole path: service, search, fetch, sample, compare
	$(BIN)/python -m benchmarks.demo

serve: .venv/service  ## the service and its dashboard on http://127.0.0.1:8471
	$(BIN)/python -m api serve

test: .venv/dev  ## the whole suite, a file at a time on each of at most four cores
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

full: .venv/dev  ## the suite with the tests that are too many for every run
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m ""

lint: .venv/dev  ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev  ## the numbers and tables that the docs quote
	$(BIN)/python -m benchmarks.solvers
	$(BIN)/python -m benchmarks.predictor
	$(BIN)/python -m benchmarks.debias
	$(BIN)/python -m benchmarks.decoupled
	$(BIN)/python -m benchmarks.zoo
	$(BIN)/python -m benchmarks.objective
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.curse
	$(BIN)/python -m benchmarks.pictures
	$(BIN)/python -m benchmarks.scale

clean:
	rm -rf .venv demo var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
