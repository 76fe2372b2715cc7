# Everything that is run here runs in .venv, made from the hash-locked requirements by uv.
# Packages are hard-linked from uv's cache: a second checkout installs nothing again. The extras are here too, so that
# every codec is tested; the image has none of them.
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements-uv.lock)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/harness
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
COMPILE = $(UV) pip compile --quiet --generate-hashes --python-version 3.11
PYTHON := .venv/bin/python
LOCK := $(shell sha256sum requirements.lock requirements-extras.lock pyproject.toml | sha256sum | cut -c1-16)
STAMP := .venv/.installed-$(LOCK)
RATIOS := 4,8,12,16
TEST_JOBS := 2
# Tests and benches start many short processes: let them find compiled modules.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup bench test lint types check image docker-test lock pins clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv from requirements.lock
	@echo 'harness is in .venv. To have it on the PATH of this shell: . .venv/bin/activate'

bench: $(STAMP) ## compare every codec on the packaged photographs
	.venv/bin/harness bench --ratios $(RATIOS)

test: $(STAMP) ## run the tests that need no Docker engine
	$(PYTHON) -m pytest -m 'not docker and not exhaustive' -n $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP) ## check style
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/hadolint Dockerfile

types: $(STAMP) ## check types
	.venv/bin/mypy

check: lint types test ## all of the above

image: $(STAMP) ## build the image `harness` with Docker
	.venv/bin/harness container build

docker-test: $(STAMP) ## run the tests that need a Docker engine
	$(PYTHON) -m pytest -m docker $(PYTEST_ARGS) tests/container

lock: $(UV) ## compile the lock files from pyproject.toml
	$(COMPILE) pyproject.toml --extra dev --custom-compile-command 'make lock' -o requirements.lock
	$(COMPILE) pyproject.toml --extra ffmpeg --extra heif --extra jpegli --constraints requirements.lock \
	    --no-annotate --custom-compile-command 'make lock' -o requirements-extras.lock

pins: $(STAMP) ## move uv and the base image to what is current
	echo uv | $(COMPILE) - --no-annotate --upgrade --custom-compile-command 'make pins' -o requirements-uv.lock
	$(PYTHON) scripts/pins.py

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info

$(UV):
	python3 -m venv $(CACHE)/uv-$(UV_VERSION)
	$(CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet --require-hashes -r requirements-uv.lock

$(STAMP): requirements.lock requirements-extras.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python '>=3.11,<3.13' .venv
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --require-hashes \
	    -r requirements.lock -r requirements-extras.lock
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@
