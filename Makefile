# Every target first sets up what it needs, once: a virtual environment, pinned dependencies, the package.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A Dagster instance with the shipped settings, which send nothing, for commands that look at definitions only.
DG = mkdir -p $(VENV)/dagster && cp dagster.yaml $(VENV)/dagster/ && \
	DAGSTER_HOME=$(abspath $(VENV))/dagster $(BIN)/dg
READY := $(VENV)/.ready

.PHONY: demo test superset-test dev bench check lint defs clean help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV), once (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Replay days of a sandbox through the real jobs, and print where the results are
	@$(BIN)/tiktok-pipeline demo

dev: $(READY) ## Run the demo's sandbox at many times real speed, with the Dagster UI
	@$(BIN)/tiktok-pipeline dev $(if $(PORT),--port $(PORT))

test: $(READY) lint ## Run the whole test suite
	@# Dozens of processes import the package, so compiled files are kept whatever the environment sets.
	@# Three workers keep two cores busy: the unattended tests mostly wait, on one of the workers.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## Check style and types, and load the definitions
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(DG) check defs

defs: $(READY) ## List assets, checks, jobs, schedules and sensors
	@$(DG) list defs

superset-test: $(READY) ## Test Apache Superset on the published tables: installs 890 MB, takes minutes
	@$(BIN)/python -m pytest -m superset tiktok_pipeline_tests/publish/test_superset.py

bench: $(READY) ## Run every benchmark, printing ratios
	@for module in $$(ls -d benchmarks/*.py benchmarks/*/__main__.py 2>/dev/null | grep -v '__init__'); do \
		name=$$(echo $$module | sed -e 's/\.py$$//' -e 's/\/__main__$$//' -e 's/\//./g'); \
		echo "== $$name"; $(BIN)/python -m $$name || exit 1; done

check: $(READY) ## Check whether this deployment is ready for real vendors
	@$(BIN)/tiktok-pipeline check

clean: ## Remove the virtual environment, but no data
	rm -rf $(VENV)
