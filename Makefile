# The verbs of the project. All work as root and as an ordinary user who may use sudo; sudo is used only to
# install Debian packages and to copy the extension into the server's directory.

SHELL = /bin/sh
.DEFAULT_GOAL := help

EXTENSION := pgagent_py
VERSION := 1.0
SCRIPT := extension/build/$(EXTENSION)--$(VERSION).sql
VENV := .venv/bin

# Looked up when used: "make deps" may just have installed them.
PG_CONFIG ?= $(shell .ci/deps --pg-config)
PYTHON ?= $(shell .ci/deps --python)
SUDO ?= $(shell test "$$(id -u)" = 0 || echo sudo)
TESTS ?=
PYTEST_FLAGS ?=
# Tests wait more than they compute. Those of a file share a server.
WORKERS ?= $(shell expr "$$(nproc)" + 1)
MINUTES ?= 10
ROUNDS ?= 1
SEED ?=
# A procedure that commits cannot pin its search_path: its names are qualified instead.
PGSPOT_FLAGS ?= --ignore-lang plpython3u --proc-without-search-path \
    'pgagent.run_until_idle(station pg_catalog.text,INOUT succeeded integer,INOUT failed integer,INOUT aborted integer)'
# pgspot fails at parsed bodies (begin atomic), so it sees them as texts. What their names mean is settled when they are
# created, by the search_path that the script sets first.
SHOW_PARSED_BODIES := sed -e 's/^begin atomic$$/set search_path = pg_catalog, pg_temp as $$$$/' -e 's/^end;$$/$$$$;/'

.PHONY: help build install uninstall deps test lint typecheck format docs bench soak faults drill demo demo-stop clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

build: ## assemble the extension's script
	$(PYTHON) extension/build.py

install: build ## copy the extension into the server's directory
	@set -e; to="$$("$(PG_CONFIG)" --sharedir)/extension"; \
	for file in extension/$(EXTENSION).control $(SCRIPT); do \
	    cmp -s "$$file" "$$to/$${file##*/}" && continue; \
	    echo "installing $${file##*/} into $$to"; $(SUDO) install -m 644 "$$file" "$$to"; \
	done

uninstall: ## remove the extension from the server's directory
	@set -e; from="$$("$(PG_CONFIG)" --sharedir)/extension"; \
	    $(SUDO) rm -fv "$$from/$(EXTENSION).control" "$$from/$(EXTENSION)"--*.sql

deps: ## install what is missing: PostgreSQL with PL/Python, psycopg, test tools in .venv
	@.ci/deps

test: deps ## run all tests against servers of their own (TESTS=tests/unit, PYTEST_FLAGS="-k name", WORKERS=1)
	@$(MAKE) --no-print-directory install
	PG_CONFIG="$(PG_CONFIG)" $(VENV)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS) $(TESTS)

lint: deps typecheck ## check style, types, and the built script's safety
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	@$(MAKE) --no-print-directory build
	$(SHOW_PARSED_BODIES) $(SCRIPT) | $(VENV)/pgspot $(PGSPOT_FLAGS)

typecheck: deps ## check the types alone
	$(VENV)/mypy

format: deps ## format the Python code
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

docs: deps ## write the reference anew: docs/reference, out of the catalog and the help texts
	@$(MAKE) --no-print-directory install
	PYTHONPATH=docs:tests:ticker PG_CONFIG="$(PG_CONFIG)" $(VENV)/python -m reference.generate

bench: deps ## measure, beside Debian's pgagent
	@$(MAKE) --no-print-directory install
	cd tests && PG_CONFIG="$(PG_CONFIG)" ../$(VENV)/python -m benchmarks

soak: deps ## run jobs for 10 minutes as fast as they run: does memory grow? (MINUTES=60)
	@$(MAKE) --no-print-directory install
	cd tests && PG_CONFIG="$(PG_CONFIG)" ../$(VENV)/python -m benchmarks soak $(if $(MINUTES),--minutes $(MINUTES))

faults: deps ## the faults of docs/faults.md, each at every point (ROUNDS=20)
	@$(MAKE) --no-print-directory install
	@set -e; for round in $$(seq $(ROUNDS)); do echo "round $$round of $(ROUNDS)"; \
	    PG_CONFIG="$(PG_CONFIG)" $(VENV)/python -m pytest -q -n $(WORKERS) --dist loadfile \
	    -m "thorough or not thorough" tests/system/test_fault_*.py; done

drill: deps ## kill, cut and starve agents and server at random (MINUTES=10 SEED=...)
	@$(MAKE) --no-print-directory install
	cd tests && PG_CONFIG="$(PG_CONFIG)" ../$(VENV)/python -m drill --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

demo: deps ## start a server and a ticker of its own, run a job, show its log
	@$(MAKE) --no-print-directory install
	@docs/demo/demo.sh start

demo-stop: ## end the demo and remove it
	@docs/demo/demo.sh stop

clean: ## remove what was built (not .venv, not the demo)
	rm -rf build extension/build .hypothesis .mypy_cache .pytest_cache .ruff_cache ticker/*.egg-info
	find extension ticker tests docs -name __pycache__ -prune -exec rm -rf {} +
