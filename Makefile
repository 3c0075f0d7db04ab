# Everything a person does with the project. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --quiet
# Where it is set, each of the hundreds of processes that the tests start compiles the whole code anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run demo test coverage fuzz drills bench lint format wheel sbom audit lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.complete .env ## Set everything up: .venv from the lock files, .env with a fresh key, the database migrated
	@$(BIN)/receiver db upgrade

run: setup ## Run the receiver on http://127.0.0.1:8000 (PORT= changes it): web server and reconciler; Ctrl-C stops both
	@exec $(BIN)/receiver run

demo: .venv/.complete ## Watch the whole story with a simulated bank on a throw-away database (DEMO_EXIT=1 ends after it)
	@exec $(BIN)/receiver demo

test: .venv/.complete ## Run every test, those on a real PostgreSQL too (TEST_POSTGRES_URL= names another one)
	$(BIN)/python -m pytest -n 4 --dist loadfile $(ARGS)

coverage: .venv/.complete ## Run the tests of our own processes on SQLite; below the floor of branch coverage it fails
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term -k "not postgresql" \
		--ignore tests/drills --ignore tests/server $(ARGS)

fuzz: .venv/.complete ## Try what was never tried against parsers, verifiers and the HTTP edge, for MINUTES=10 (ARGS='tests/fuzz' for a part)
	PYTHONPATH=tests $(BIN)/python -m fuzz $(or $(MINUTES),10) -n 2 --dist loadfile $(ARGS)

drills: .venv/.complete ## Run the long proofs: kills, races, full disks, a million events
	DRILLS=1 $(BIN)/python -m pytest -m "drill or larger" $(ARGS)

bench: .venv/.complete ## Measure callbacks and the feed beside others, for about an hour (ARGS='--only closed' for a part)
	@PYTHONPATH=tests:. $(BIN)/python -m bench $(ARGS)

lint: .venv/.complete ## Check types, style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.complete ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv/.complete ## Build the wheel into dist/, beside the lock of what it needs
	@rm -rf dist && mkdir dist
	@# All files bear the same time: the same source makes the same wheel, to the byte.
	@SOURCE_DATE_EPOCH=0 $(BIN)/python -m flit_core.wheel --outdir dist
	@chmod 644 dist/*.whl && cp requirements.lock dist/

sbom: .venv/.complete ## Install requirements.lock apart, and list all of it, with licences, in dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist && place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT \
		&& $(BIN)/python -m venv --without-pip $$place \
		&& $(BIN)/python -m pip --python $$place/bin/python install --quiet --disable-pip-version-check --require-hashes --no-deps \
			-r requirements.lock \
		&& $(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
			--output-file dist/sbom.cdx.json $$place/bin/python
	@echo "Wrote dist/sbom.cdx.json."

audit: .venv/.complete ## Ask the advisory service what is known against the packages of requirements.lock
	@$(BIN)/python .ci/audit.py $(ARGS)

lock: ## Write requirements.lock (production) and requirements-dev.lock (tests and linters besides) anew (needs `uv`)
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --group dev --extra simulator --extra oidc --extra alerts --extra tracing --constraint requirements.lock \
		--output-file requirements-dev.lock \
		$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.lock)

clean: ## Remove what the set-up made, but never .env or var/
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.complete: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		-r requirements.lock -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.env: | .venv/.complete
	@umask 077 && key=$$($(BIN)/python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())') \
		&& sed "s|^RECEIVER_SECRET_KEYS=.*|RECEIVER_SECRET_KEYS=$$key|" .env.example > .env
	@echo "Wrote .env with a fresh key. Keep a copy of it: what is encrypted with it can't be read without it."
