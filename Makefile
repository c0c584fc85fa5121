# Two commands matter: `make demo` and `make test`. Each needs only Python >= 3.10 with venv, git, make and
# the package registries, and is quick the second time. `make help` lists the rest.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

BIN := .venv/bin
STAMPS := .venv/stamps
PY := $(BIN)/python
# Tools that were put into .venv win, node and npm among them.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Kernels and tests import what is compiled already, as they do once a package is installed.
unexport PYTHONDONTWRITEBYTECODE

PYTHON_DIRS := mi_widgets tests .ci
# Folders too: their time changes when a file is added or removed.
BUNDLE_SOURCES := $(shell find js -type f -o -type d 2>/dev/null) package.json package-lock.json tsconfig.json
BUNDLE := mi_widgets/static/manifest.json
NODE_MODULES := node_modules/.package-lock.json

##@ Commands

.PHONY: demo
demo: setup ## Run the getting-started notebook in a real kernel and print what it found
	@$(BIN)/mi-widgets demo

.PHONY: test
test: setup-test ## Run everything: lint, types, Python, TypeScript, page and JupyterLab tests
	@$(PY) .ci/suite.py $(foreach step,$(STEPS),"$(step)=$(MAKE) --no-print-directory $(patsubst %&,%,$(step))")

.PHONY: lab
lab: setup ## Open JupyterLab on the notebooks
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

##@ Parts of `make test`

# Types take one core, and run beside the next step.
STEPS := lint types& test-js test-python test-page test-lab
# By whole files: what a module builds once is built once.
TWO_AT_A_TIME := --numprocesses=2 --dist=loadfile

.PHONY: lint
lint: $(STAMPS)/overlays build ## Check style: ruff and biome
	$(BIN)/ruff check $(PYTHON_DIRS)
	$(BIN)/ruff format --check $(PYTHON_DIRS)
	npm run --silent lint

.PHONY: types
types: $(STAMPS)/overlays build ## Check types: mypy and tsc
	$(BIN)/mypy
	npm run --silent typecheck

.PHONY: test-python
test-python: $(STAMPS)/overlays build ## Python tests, packaging among them
	$(PY) -m pytest tests/python $(TWO_AT_A_TIME)

.PHONY: test-js
test-js: $(STAMPS)/overlays build ## TypeScript tests
	npm run --silent test

.PHONY: test-page
test-page: $(STAMPS)/overlays build chromium ## Tests on a plain page in Chromium
	$(PY) -m pytest tests/browser/page $(TWO_AT_A_TIME)

.PHONY: test-lab
test-lab: $(STAMPS)/overlays build chromium ## Tests in a real JupyterLab, Notebook 7, marimo and notebooks without a kernel
	$(PY) -m pytest tests/browser/lab tests/browser/hosts $(TWO_AT_A_TIME)

.PHONY: bench
bench: $(STAMPS)/overlays build ## Benchmarks, and BENCHMARKS.md; ROWS="gpt2-16-z gpt2-16-drag" runs some rows alone
	$(if $(ROWS),$(PY) -m tests.benchmarks $(ROWS),$(PY) -m pytest tests/benchmarks -s)

.PHONY: bench-heads
bench-heads: $(STAMPS)/peers build chromium ## The heads widget beside CircuitsVis and BertViz, and BENCHMARKS_HEADS.md; PARTS="live long" runs some
	$(PY) -m tests.benchmarks.heads $(PARTS)

.PHONY: bench-lens
bench-lens: $(STAMPS)/overlays build ## The logit lens beside bare products, a plain loop and nnsight, and BENCHMARKS_LENS.md
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m tests.benchmarks.lens

.PHONY: models
models: $(STAMPS)/install-dev ## Prove every decoder family of the installed transformers and write MODELS.md
	@$(PY) -m tests.families

.PHONY: picture
picture: $(STAMPS)/overlays build chromium ## Make the README's picture anew
	$(PY) -m tests.browser.lab.picture

##@ Setting up

.PHONY: setup
setup: $(STAMPS)/install build ## Make .venv with the package and JupyterLab, and build the front end

.PHONY: setup-test
setup-test: $(STAMPS)/install-dev build $(STAMPS)/overlays chromium ## Add what the tests need

.PHONY: build
build: $(BUNDLE) ## Build the front end into mi_widgets/static

.PHONY: hooks
hooks: setup-test ## Install the pre-commit hooks
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove everything that these commands have made
	rm -rf .venv node_modules mi_widgets/static dist build .pytest_cache .mypy_cache .ruff_cache
	find mi_widgets tests .ci -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A stamp is the time at which a step last succeeded. All live in .venv and go with it.

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "mi-widgets needs Python 3.10 or newer; this is " + sys.version)'
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "python: making .venv" && $(PYTHON) -m venv .venv; }
	@# JupyterLab runs node on its own files below .venv: they are not modules, whatever our package.json says.
	@echo '{}' > .venv/package.json
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/install: pyproject.toml constraints.txt .ci/install.py | $(STAMPS)/venv
	@echo "python: installing the package and JupyterLab (about a minute the first time)"
	@$(PY) .ci/install.py lab
	@touch $@

$(STAMPS)/install-dev: $(STAMPS)/install
	@echo "python: installing what the tests need"
	@$(PY) .ci/install.py dev
	@touch $@

$(STAMPS)/overlays: .ci/overlays.py $(STAMPS)/install-dev
	@$(PY) .ci/overlays.py
	@touch $@

$(STAMPS)/peers: tests/benchmarks/heads/peers.py $(STAMPS)/overlays | node
	@$(PY) -m tests.benchmarks.heads.peers
	@touch $@

.PHONY: node
node: | $(STAMPS)/venv
	@$(PY) .ci/node.py

.PHONY: chromium
chromium: | $(STAMPS)/venv
	@$(PY) .ci/chromium.py

$(NODE_MODULES): package.json package-lock.json .npmrc | node
	@echo "npm: installing"
	@npm ci --no-progress --loglevel=error
	@touch $@

$(BUNDLE): $(NODE_MODULES) $(BUNDLE_SOURCES) | node
	@npm run --silent build
	@touch $@
