# The verbs of this project. `make` alone lists them; nothing is installed outside this directory.

PYTHON ?= python3
CYCLES ?= 50

VENV := .venv
BIN := $(VENV)/bin
CORE := sts_core_rs
CORE_SOURCES := $(CORE)/Cargo.toml $(CORE)/Cargo.lock $(CORE)/pyproject.toml \
	$(shell find $(CORE)/src $(CORE)/python -type f -not -path '*/__pycache__/*' -not -name '*.so')
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
PIP := $(BIN)/pip --quiet --disable-pip-version-check --no-input
# Two at a time: most tests wait for processes, disks or sockets as long as they compute.
PYTEST_OPTIONS ?= -n 2

.DEFAULT_GOAL := list
.PHONY: list install run test check lint types contracts torture bench

list:
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1#\2/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-18s%s\n", $$1, $$2 }'

install: $(VENV)/.installed ## make .venv with the server and the token core; quick when nothing changed

# Stamps: each remembers that a step was done for the files it depends on.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@echo "Making $(VENV); nothing is installed outside of it."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tools: $(VENV)/.created constraints.txt
	@echo "Installing what builds the server (1 of 3)..."
	@$(PIP) install -c constraints.txt editables hatchling maturin
	@touch $@

$(VENV)/.core: $(VENV)/.tools $(CORE_SOURCES)
	@echo "Compiling the token core with cargo (2 of 3), a minute or two the first time..."
	@$(PIP) install -c constraints.txt --no-build-isolation ./$(CORE)
	@touch $@

$(VENV)/.installed: $(VENV)/.core pyproject.toml constraints.txt
	@echo "Installing the server, its PostgreSQL and its tests' tools (3 of 3), some minutes the first time..."
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

run: install ## start a demonstration town: a payment, its SMS, a meter that takes the token
	$(BIN)/vending demo $(if $(PORT),--port $(PORT))

test: install ## run every test, Rust and Python
	cd $(CORE) && cargo test --quiet --locked
	$(BIN)/pytest $(PYTEST_OPTIONS)

check: lint types contracts test ## what .ci/run asks for: format, lint, types, layers, every test

lint: install ## check format and lint, Python and Rust
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	cd $(CORE) && cargo fmt --check
	cd $(CORE) && cargo clippy --quiet --locked --all-targets --all-features -- -D warnings

types: install ## check types: the server, its tests, and the core's stubs against what was built
	$(BIN)/mypy vending tests benchmarks
	$(BIN)/python -P -m mypy.stubtest sts_core

contracts: install ## check which package imports which
	$(BIN)/lint-imports

torture: install ## kill the server and PostgreSQL under load, CYCLES=n times; SEED=s again
	$(BIN)/python -m tests.torture --cycles $(CYCLES) $(if $(SEED),--seed $(SEED))

bench: install ## measure everything in 25 minutes; QUICK=1 for 7 with reduced sizes, FULL=1 for 2 hours, ONLY=part
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(FULL),--full) $(foreach part,$(ONLY),--only $(part))
