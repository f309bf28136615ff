# Every path is relative, so that a checkout may lie in a folder with spaces in its name.
# CI and people run the same two targets; neither asks anything, and the second call installs nothing.

PYTHON ?= python3
# Processes that share the tests; `make test WORKERS=0` runs them in one.
WORKERS ?= 2
PY := .venv/bin/python
PIP := $(PY) -m pip install -qq --no-input --disable-pip-version-check --root-user-action=ignore

# Otherwise the folder one happens to stand in could shadow installed packages (`datasets`, for one).
export PYTHONSAFEPATH := 1
# Commands start faster from what has been compiled before, and tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help bars bench docs test types tests clean

help:
	@echo "make test    lint, types and tests, in .venv"
	@echo "make bench   every planner of the core on the suite 'mini'; the report lies in out/bench"
	@echo "make docs    the documentation as a site, in out/site"
	@echo "make bars    the speed that this machine reaches beside what the toolkit is held to"
	@echo "make clean   remove what these targets made"

$(PY):
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || \
		{ echo "Python 3.11 to 3.14 is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	"$(PYTHON)" -m venv .venv

# The stamps name what was installed; a change of the requirements installs again.
.venv/installed-core: pyproject.toml setup.py | $(PY)
	$(PIP) -e .
	@touch $@

.venv/installed-dev: pyproject.toml setup.py | $(PY)
	$(PIP) -e ".[dev,docs,learn,carla,vla]"
	@touch .venv/installed-core $@

bench: .venv/installed-core
	$(PY) -m drive bench --suite mini --planner constant --planner idm --planner pdm --planner mpc \
		--planner cpto --planner field --planner log --out out/bench --force
	@echo "The report lies in out/bench/report.html"

bars: .venv/installed-dev
	$(PY) -m drive.eval.perf_bars

docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "The site lies in out/site/index.html"

# Types are checked while the tests run: neither waits for the other.
test: .venv/installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@$(MAKE) --no-print-directory -j 2 types tests

types: .venv/installed-dev
	$(PY) -m mypy -p drive

# Each process gets a half of the tests as they lie in their files, which share what is dear to make, and
# takes from the other one when it has done.
tests: .venv/installed-dev
	$(PY) -m pytest -q -n $(WORKERS) --dist worksteal

clean:
	rm -rf .venv out build dist drive_toolkit.egg-info
