# The project's face. `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run test check soak bench docs clean lock

help: ## list the targets
	@grep -hE '^[a-z]+:.*?## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/run ## start the controller with the demo registry and watch podinfo become Ready
	@$(BIN)/ocisource up --demo

test: check ## check, then the whole test suite with reduced counts of kill, fault and fuzz tests
	@$(BIN)/pytest --numprocesses=auto

check: $(VENV)/dev ## ruff, mypy strict, import contracts, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell

soak: $(VENV)/dev ## the full counts of the kill, fault and fuzz tests
	@OCISOURCE_SOAK=1 $(BIN)/pytest -m soak

bench: $(VENV)/dev ## print the benchmarks' ratios
	@$(BIN)/python -m benchmarks

docs: $(VENV)/dev ## write the generated pages of docs/ again
	@$(BIN)/python -m ocisource.cli.manual docs
	@$(BIN)/python -m ocisource.cli.flagtable > docs/flags.md

clean: ## remove what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

lock: $(VENV)/dev ## pin the requirements again, with hashes and without addresses
	@$(BIN)/pip install --quiet pip-tools
	@for f in run image dev; do $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --no-annotate \
	  requirements/$$f.in -o requirements/$$f.txt; done

# --no-deps with the editable install: the hashed files are the only source of what is installed.
$(VENV)/run: requirements/run.txt pyproject.toml
	@echo "Preparing $(VENV) (first run only) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml
	@echo "Preparing $(VENV) for development ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/run
