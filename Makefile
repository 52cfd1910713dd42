# Everything a checkout needs, from nothing but Python 3.11 or newer and a package index.
#
#   make demo        watch a worker do real work
#   make test        the whole suite, at a tenth of its size; needs no running servers
#   make test-full   the same at full size (many minutes)
#   make lint        style, types, layers, links
#   make bench       measure celeriac, and its peers beside it
#   make docs        build the documentation into docs/_build
#
# PYTHON=python3.12 names the interpreter for a new .venv, VENV=dir another place for it;
# ARGS="-k lease" goes to pytest, to the demo or to the benchmark.

PYTHON ?=
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# An empty file per set of packages says that it is installed as pyproject.toml wants it.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
DOCS := $(VENV)/.installed-docs

.PHONY: demo test test-full lint bench docs servers clean

demo: $(RUN)
	$(BIN)/python -m demo $(ARGS)

# What mostly waits runs six at a time. Storms follow the others: three at a time, for they wait for servers that are started
# again, and in the full size one at a time. Each of these processes would read all tests to find its own: they read the
# folders that have some (tests/test_marks.py), unless ARGS says what to run.
# pytest says 5 for "no test found".
STORMS = 3
PATIENT = $(if $(ARGS),,tests/fault tests/integration)
test: $(DEV) servers
	@failed=0; found=0; \
	run() { $(BIN)/pytest "$$@" $(ARGS); case $$? in 0) found=1 ;; 5) ;; *) failed=1 ;; esac; }; \
	run -n 3 --dist worksteal -m "not serial and not waits"; \
	run -n 6 --dist worksteal -m "waits and not serial" $(PATIENT); \
	run -n $(STORMS) --dist worksteal -m serial $(PATIENT); \
	[ $$found$$failed = 10 ]

test-full: export CELERIAC_TEST_SIZE = full
test-full: STORMS = 0
test-full: test

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src tests demo bench
	$(BIN)/pytest -q tests/test_layers.py tests/test_links.py

bench: $(BENCH)
	$(BIN)/python -m bench $(ARGS)

docs: $(DOCS)
	$(BIN)/sphinx-build -W --keep-going --quiet docs docs/_build
	@echo "open docs/_build/index.html"

# Installs the system's servers that the suite starts, node for celery-node, and two programs that tests call, where that can be
# done without asking: as root, and in CI. Elsewhere the tests that miss one are skipped, and say how to get it.
servers:
	@missing=; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v rabbitmq-server >/dev/null || [ -x /usr/sbin/rabbitmq-server ] || missing="$$missing rabbitmq-server"; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null && { [ -z "$$root" ] || { [ -n "$$CI" ] && $$root true; }; }; then \
	    echo "Installing$$missing ..."; \
	    $$root apt-get -qq update && $$root env DEBIAN_FRONTEND=noninteractive \
	        apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	fi

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# What `dev` installs includes what `run` installs, so `make demo` after `make test` waits for nothing.
$(RUN): pyproject.toml | $(BIN)/python
	@echo "Installing celeriac into $(VENV) ..."
	@$(PIP_INSTALL) -e ".[fast]"
	@touch $@

$(BENCH): pyproject.toml | $(BIN)/python
	@echo "Installing celeriac with what its engines need into $(VENV) ..."
	@$(PIP_INSTALL) -e ".[fast,redis]"
	@touch $@ $(RUN)

$(DEV): pyproject.toml | $(BIN)/python
	@echo "Installing celeriac and its development tools into $(VENV) ..."
	@$(PIP_INSTALL) -e ".[fast,lint,test]"
	@touch $@ $(RUN) $(BENCH)

$(DOCS): pyproject.toml | $(BIN)/python
	@echo "Installing the documentation tools into $(VENV) ..."
	@$(PIP_INSTALL) -e ".[docs]"
	@touch $@

# Asking the interpreter is the only sure way: a name on PATH may be a shim for nothing, and some
# distributions split ensurepip and sqlite3 off.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    if $$python -c 'import ensurepip, sqlite3, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Creating $(VENV) with $$($$python --version) ..."; \
	        $$python -m venv --clear $(VENV) && exit 0; \
	        rm -rf $(VENV); exit 1; \
	    fi; \
	done; \
	echo "celeriac needs Python 3.11 or newer with the modules ensurepip and sqlite3; tried:" \
	     "$(or $(PYTHON),python3.13 python3.12 python3.11 python3)." \
	     "Install one, or name it: make PYTHON=/path/to/python" >&2; \
	exit 1
