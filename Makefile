# Every target works in a fresh clone: .venv is made from uv.lock when it is missing or older.
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
UV := $(VENV)/.uv-$(UV_VERSION)
SYNCED := $(VENV)/.synced
# Grading and the hub are in an environment of their own, which `make setup` does not make.
CLASS_VENV := .venv-class
NPM_PACKAGES := node_modules/.package-lock.json
HUB_PACKAGES := deploy/hub/node_modules/.package-lock.json
# The course's folder, and what `make hub` hands on to deploy/hub/start.py.
CLASS := class
HUB :=
NN :=

# With it Python compiles TensorFlow anew at every import: 18 s instead of 7.
unexport PYTHONDONTWRITEBYTECODE
# With the address of a repository `make book` links the lessons to Colab and Binder: see the README.
export LESSONS_REPOSITORY LESSONS_BRANCH LESSONS_SITE

.DEFAULT_GOAL := help
.PHONY: help setup lab lessons test book slides refresh lint bench test-class class hub
.DELETE_ON_ERROR:

help:
	@echo "make setup      make .venv, once; every target below does it by itself"
	@echo "make lab        open JupyterLab at the first lesson"
	@echo "make lessons    run all lessons, then print the scoreboard (NN=\"3 4\": only these two)"
	@echo "make test       run the unit tests, and every notebook as a test"
	@echo "make test-class test what a class needs: grading, in an environment of its own"
	@echo "make class      set a course's folder up: its assignments, grades, server (CLASS=DIR)"
	@echo "make hub        a server for a class on this machine (HUB=--help)"
	@echo "make book       build the site from the notebooks into book/_build/html (needs npm)"
	@echo "make slides     make slides of the lessons into book/_build/slides (NN=\"0 3\": only these)"
	@echo "make refresh    run the notebooks, store their outputs, update the README (NN=\"3 4\": only these)"
	@echo "make lint       check style and format"
	@echo "make bench      measure speed and memory"

lab: setup
	$(BIN)/lessons lab

lessons: setup
	$(BIN)/lessons run $(NN)
	$(if $(NN),,$(BIN)/lessons scoreboard)

test: setup
	$(BIN)/python -m pytest -n 2

test-class: $(CLASS_VENV)/.synced
	$(CLASS_VENV)/bin/python -m pytest -n 2 tests/class

class: $(CLASS_VENV)/.synced
	@$(CLASS_VENV)/bin/lessons class init "$(or $(CLASS),class)"

hub: $(CLASS_VENV)/.synced $(HUB_PACKAGES)
	@$(CLASS_VENV)/bin/python deploy/hub/start.py --class "$(CLASS)" $(HUB)

book: setup $(NPM_PACKAGES)
	$(BIN)/python tools/book.py

slides: setup $(NPM_PACKAGES)
	$(BIN)/python tools/slides.py $(NN)

refresh: setup
	$(BIN)/python tools/refresh.py $(NN)
	$(BIN)/python tools/instructors.py
	$(if $(NN),,$(BIN)/python tools/readme.py && $(BIN)/python tools/versions.py)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

bench: setup
	$(BIN)/python tools/bench.py

setup: $(SYNCED)

$(SYNCED): pyproject.toml uv.lock $(UV)
	$(BIN)/uv sync --locked --compile-bytecode --extra dev
	@touch $@

$(CLASS_VENV)/.synced: pyproject.toml uv.lock $(SYNCED)
	UV_PROJECT_ENVIRONMENT=$(CLASS_VENV) $(BIN)/uv sync --locked --python $(BIN)/python \
	  --compile-bytecode --extra dev --extra class
	@touch $@

# What the site serves beside its pages: MathJax, the slides' engine and the browser's runtime.
$(NPM_PACKAGES): package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed, which comes with Node.js 18 or newer" >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# The proxy that JupyterHub puts before students' servers.
$(HUB_PACKAGES): deploy/hub/package.json deploy/hub/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed, which comes with Node.js 18 or newer" >&2; exit 1; }
	npm ci --prefix deploy/hub --ignore-scripts --no-audit --no-fund
	@touch $@

# Any of these names may be the Python that fits; the first that does makes the environment.
$(UV):
	@for python in python3 python3.13 python3.12 python3.11; do \
	  if $$python -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" 2>/dev/null; \
	  then echo "$$python -m venv $(VENV)"; exec $$python -m venv $(VENV); fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed; python3 here is: $$(python3 --version 2>&1)" >&2; \
	exit 1
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@touch $@
