# Only python3 (3.11 or newer), git and make are assumed. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test sanitize check format bench retrieval docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP) ## create the environment in .venv

$(STAMP): pyproject.toml hatch_build.py $(wildcard src/recollect/native/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(STAMP) ## index a real repository, search it, show how to connect an agent
	@$(BIN)/python -m benchmarks.demo

check: $(STAMP) ## format, lint, types, layers
	@$(BIN)/ruff format --check src tests benchmarks training docs
	@$(BIN)/ruff check src tests benchmarks training docs
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo | tail -n 4

format: $(STAMP) ## format and mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet src tests benchmarks training docs
	@$(BIN)/ruff format --quiet src tests benchmarks training docs

test: check ## everything CI runs: check, then all tests, fast ones first
	@$(BIN)/pytest tests/unit tests/property -n 2 $(TEST_ARGS)
	@$(BIN)/python -m tests.browser
	@$(BIN)/pytest tests/integration tests/e2e tests/chaos -n 2 --dist loadgroup $(TEST_ARGS)

sanitize: $(STAMP) ## the native tests under AddressSanitizer and UBSan (needs GCC)
	@$(BIN)/python -m tests.sanitize $(TEST_ARGS)

bench: $(STAMP) ## how fast: tables for docs/benchmarks.md (some minutes)
	@$(BIN)/python -m benchmarks.speed
	@$(BIN)/python -m benchmarks.freshness
	@$(BIN)/python -m benchmarks.memory
	@$(BIN)/python -m benchmarks.clones

retrieval: $(STAMP) ## how good: NDCG@10 on SOURCES=folder QUESTIONS=folder
	@$(BIN)/python -m benchmarks.retrieval $(SOURCES) $(QUESTIONS)

docs: $(STAMP) ## the reference from the code, then the site in build/site, links checked
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m mkdocs build --strict --quiet

clean: ## remove the environment and all caches
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
