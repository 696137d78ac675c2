# The first recipe is help. Everything a recipe needs is set up in .venv by the recipe itself, once.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN_READY := $(VENV)/ready-to-run
DEVELOP_READY := $(VENV)/ready-to-develop
PACKAGES := schemas resolver sinks flows demo_producer
CHECKED := $(PACKAGES) tests .ci
# Most of their time tests wait: for processes, and for what must not happen. One at a time: ARGS="-n 0".
PARALLEL := --numprocesses 2 --dist loadfile

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(RUN_READY) ## a stream of customers becomes persons before your eyes; needs Python and nothing else
	@$(BIN)/nexus demo

.PHONY: test
test: $(DEVELOP_READY) ## the tests that need Python and nothing else
	$(BIN)/python -m pytest -m "not services and not soak" $(PARALLEL) $(ARGS)

.PHONY: test-services
test-services: $(DEVELOP_READY) ## the tests on a real Kafka and Redis, which it installs and starts
	$(BIN)/python -m tests.services run -- $(BIN)/python -m pytest -m "services and not soak" $(PARALLEL) $(ARGS)

.PHONY: test-soak
test-soak: $(DEVELOP_READY) ## the tests that take long, on the same servers
	$(BIN)/python -m tests.services run -- $(BIN)/python -m pytest -m soak $(ARGS)

.PHONY: check
check: $(DEVELOP_READY) ## style, types, import contracts, exported schemas
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m schemas.export --check

.PHONY: format
format: $(DEVELOP_READY) ## put the code into the one format
	$(BIN)/ruff check --fix-only --quiet $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

.PHONY: bench
bench: $(RUN_READY) ## the budgets, measured as ratios on this machine
	$(BIN)/nexus bench $(ARGS)

.PHONY: wheel
wheel: $(DEVELOP_READY) ## build the wheel into dist/
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: image
image: ## build the container image with docker, podman or buildah; see docs/deploy.md
	docker/build $(ARGS)

.PHONY: constraints
constraints: $(RUN_READY) ## choose the newest versions anew and write their hashes
	$(BIN)/python .ci/constraints.py

.PHONY: clean
clean: ## remove what make has set up, the fetched servers too
	rm -rf $(VENV) .services dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The stamps make the second time quick; a change of the constraints or of pyproject.toml sets up again.

$(BIN)/python:
	@python=$$(sh .ci/find-python) && echo "Setting up $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)

$(RUN_READY): $(BIN)/python constraints/runtime.txt constraints/build.txt pyproject.toml
	@$(PIP) install --only-binary :all: --require-hashes -r constraints/runtime.txt -r constraints/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVELOP_READY): $(RUN_READY) constraints/develop.txt
	@$(PIP) install --only-binary :all: --require-hashes \
		-r constraints/runtime.txt -r constraints/build.txt -r constraints/develop.txt
	@touch $@
