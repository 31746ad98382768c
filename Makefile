# Each target sets up .venv by itself; PYTHON chooses the interpreter that makes it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
ARGS ?=
# The tests are shared among JOBS processes, file by file, the slowest first; one more than cores,
# since those with real SuperNodes and Ray wait for much of their time.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Bytecode is made by all cores after the installation: pip makes it with one.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# What does not compile is no module.
BYTECODE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true

.PHONY: run test quick lint format docs deploy-demo bench clean

run: $(STAMP)  ## the default federation; e.g. make run ARGS="num_rounds=3 engine=inprocess"
	$(BIN)/fedvlm run $(ARGS)

test: lint  ## lint, types and all tests
	$(PYTEST)

quick: lint  ## lint, types and the tests that take no more than a few seconds each
	$(PYTEST) -m "not slow"

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV_STAMP)  ## the documentation's site, into build/site; a warning is an error
	@# no --quiet: what is not shown is not counted as a warning
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

deploy-demo: $(STAMP)  ## three sites with TLS and node keys on this machine, a run, all stopped
	$(BIN)/python -m deploy.demo

bench: $(STAMP)  ## all benchmarks of a CPU, into docs/results; PFL_PYTHON= of an environment with pfl
	$(BIN)/python benchmarks/side_by_side.py $(if $(PFL_PYTHON),--pfl-python $(PFL_PYTHON)) $(ARGS)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) -e .
	@$(BYTECODE)
	@# a bare `flwr run` would otherwise reinstall every dependency for each run
	@grep -q FLWR_DISABLE_RUNTIME .venv/bin/activate || \
	  echo 'export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1' >> .venv/bin/activate
	touch $@

$(DEV_STAMP): $(STAMP)
	$(INSTALL) -e ".[dev]"
	@$(BYTECODE)
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
