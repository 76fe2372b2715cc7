# Everything that is run here runs in .venv, made from the hash-locked requirements by uv.
# Packages are hard-linked from uv's cache: a second checkout installs nothing again.
UV_VERSION := 0.13.9
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/harness
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
PYTHON := .venv/bin/python
LOCK := $(shell sha256sum requirements.lock pyproject.toml | sha256sum | cut -c1-16)
STAMP := .venv/.installed-$(LOCK)
RATIOS := 4,8,12,16

.DEFAULT_GOAL := help
.PHONY: help setup bench test lint types check lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make .venv from requirements.lock

bench: $(STAMP) ## compare every codec on the packaged photographs
	.venv/bin/harness bench --ratios $(RATIOS)

test: $(STAMP) ## run the tests
	$(PYTHON) -m pytest $(PYTEST_ARGS)

lint: $(STAMP) ## check style
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: $(STAMP) ## check types
	.venv/bin/mypy

check: lint types test ## all of the above

lock: $(UV) ## compile requirements.lock from pyproject.toml
	$(UV) pip compile pyproject.toml --extra dev --generate-hashes --python-version 3.11 \
	    --custom-compile-command 'make lock' --quiet -o requirements.lock

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info

$(UV):
	python3 -m venv $(CACHE)/uv-$(UV_VERSION)
	$(CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet uv==$(UV_VERSION)

$(STAMP): requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python '>=3.11,<3.13' .venv
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@
