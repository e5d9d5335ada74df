# make demo   from a fresh clone to a scored run and its page
# make test   what CI runs first
# Needs Python >= 3.11 and the network on the first call; everything lands in .venv.

PYTHON ?= python3
VENV   ?= .venv
DEMO   ?= eval --model worldsim/DiT-tiny --scenarios quick --episodes 12 --seed 1
TESTS  ?=
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports check clean

help:
	@echo "make demo    install, then: worldsim $(DEMO)"
	@echo "make test    install what the tests need and run them (TESTS=tests/test_video.py for some)"
	@echo "make check   lint, types and import contracts"
	@echo "make clean   remove $(VENV) and caches"

demo: $(VENV)/.installed
	$(BIN)/worldsim $(DEMO)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(TESTS)

check: lint types imports

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy -p worldsim

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# Installed again only when one of the files that decide the packages changes.
$(VENV)/.installed: $(VENV)/bin/pip pyproject.toml setup.py constraints.txt
	PYTHONWARNINGS=ignore $(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	PYTHONWARNINGS=ignore $(BIN)/pip install -q -c constraints.txt -e . --group dev
	@touch $@

# Debian's python3 comes without ensurepip (package python3-venv), so there is a second way to a pip.
# `--group` needs pip 25.1; Debian 12 has 23.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "worldsim needs Python 3.11 or newer; \
	$$($(PYTHON) --version) is too old. Name another: make PYTHON=python3.12 ..."; exit 3; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	$(BIN)/python .ci/get_pip.py; } || { rm -rf $(VENV); echo "cannot make $(VENV): apt-get install python3-venv"; exit 3; }
	@$(BIN)/python -m pip install -q --upgrade "pip>=25.1" "setuptools>=77"

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
