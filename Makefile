# make run and make test each work alone, in any order, twice. Without make: see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test check docs bench fuzz long clean

run: $(VENV)/.installed
	@$(BIN)/helpdesk up

test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Writes what docs/ and .env.example take from the code; a test holds them equal.
docs: $(VENV)/.installed-test
	$(BIN)/python docs/make.py

bench: $(VENV)/.installed-test
	$(BIN)/python bench/corpus.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/linear.py
	$(BIN)/python bench/reading.py

# Ten minutes of each engine; what they find is written to bench/.cache/findings.
fuzz: $(VENV)/.installed-test
	$(BIN)/python bench/fuzz.py --seconds 600 --engine atheris
	$(BIN)/python bench/fuzz.py --seconds 600 --engine hypothesis

long: $(VENV)/.installed-test
	$(BIN)/python bench/kills.py --kills 2000
	$(BIN)/python bench/crashpoints.py
	$(BIN)/python bench/crashpoints.py process --mails 30 --strikes before torn
	$(BIN)/python bench/crashpoints.py --mistakes

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo 'Python cannot make virtual environments here. Try: apt install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo 'Installing into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-check: setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

clean:
	rm -rf $(VENV) build *.egg-info
