# The door of the project: everything a person or a machine does with it is a target here. `make` lists them.

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= release
BIND ?= 127.0.0.1:8000
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
TESTS ?= tests
PYTEST_FLAGS ?= -n 2

CARGO ?= cargo
CARGO_FUZZ_VERSION := 0.13.1
BIN := $(abspath $(VENV))/bin
PEERS := bench/.work/venv
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
PYTHON_FILES := python tests examples bench docs
SOURCES := $(shell find crates/*/src python -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name py.typed) \
	$(wildcard crates/*/Cargo.toml) Cargo.toml Cargo.lock pyproject.toml
PURE_CRATES := --workspace --exclude farrier --exclude farrier-wsgi

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-15s %s\n", $$1, $$2 }'
	@echo
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) PROFILE=$(PROFILE) BIND=$(BIND) TESTS=$(TESTS)"
	@echo "           PYTEST_FLAGS='$(PYTEST_FLAGS)' FUZZ_SECONDS=$(FUZZ_SECONDS) SOAK_SECONDS=$(SOAK_SECONDS)"

.PHONY: run
run: $(VENV)/examples.stamp $(VENV)/farrier.stamp ## Serve the Django example on http://127.0.0.1:8000
	@cd examples/django_site && $(BIN)/python prepare.py
	@echo "Farrier serves it on http://$(BIND)/ (the admin: http://$(BIND)/admin/). Ctrl-C stops it."
	@cd examples/django_site && exec $(BIN)/farrier --bind $(BIND) --static auto forge.wsgi:application

.PHONY: install
install: $(VENV)/farrier.stamp ## Build the package and install it into .venv

.PHONY: test
test: test-rust test-python ## Run all tests: the crates', then the black-box suite

.PHONY: test-rust
test-rust: ## Run the tests of the crates that need no Python
	$(CARGO) test --locked $(PURE_CRATES)

.PHONY: test-python
test-python: $(VENV)/test.stamp $(VENV)/peers.stamp $(VENV)/farrier.stamp ## Run the black-box suite on the installed package
	@requirements/system test
	$(BIN)/python -m pytest $(PYTEST_FLAGS) $(TESTS)

.PHONY: lint
lint: $(VENV)/dev.stamp ## Check form, types and habits of Rust and Python
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features farrier/extension-module -- -D warnings
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy --strict python/farrier

.PHONY: format
format: $(VENV)/dev.stamp ## Bring Rust and Python into form
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix-only --quiet $(PYTHON_FILES)
	$(BIN)/ruff format --quiet $(PYTHON_FILES)

.PHONY: docs
docs: ## Write the generated documents anew
	FARRIER_BLESS=1 $(CARGO) test --locked --quiet -p farrier-config --test documents
	FARRIER_BLESS=1 $(CARGO) test --locked --quiet -p farrier-import --test uwsgi --test nginx
	$(PYTHON) docs/code_map.py
	$(PYTHON) bench/report.py --readme

.PHONY: fuzz
fuzz: ## Fuzz each codec for a minute, two at a time
	@requirements/system fuzz
	@$(CARGO) fuzz --version 2>/dev/null | grep -qx 'cargo-fuzz $(CARGO_FUZZ_VERSION)' \
		|| $(CARGO) install --locked --force cargo-fuzz@$(CARGO_FUZZ_VERSION)
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz build
	@mkdir -p $(addprefix build/fuzz/,$(FUZZ_TARGETS))
	@printf '%s\n' $(FUZZ_TARGETS) | RUSTC_BOOTSTRAP=1 xargs -P 2 -I TARGET $(CARGO) fuzz run TARGET \
		build/fuzz/TARGET fuzz/corpus/TARGET -- -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1

.PHONY: bench
bench: bench/.work/peers.stamp bench/.work/farrier.stamp ## Measure Farrier beside its peers, about an hour
	$(PEERS)/bin/python bench/run.py
	$(PEERS)/bin/python bench/report.py --readme

.PHONY: bench-protocols
bench-protocols: bench/.work/peers.stamp bench/.work/farrier.stamp ## Measure uwsgi, FastCGI and HTTP behind nginx, into docs/protocols.md
	$(PEERS)/bin/python bench/protocols.py --out bench/results

.PHONY: bench-deploys
bench-deploys: bench/.work/peers.stamp bench/.work/farrier.stamp ## Measure memory of preloaded workers, fork to ready, and a reload
	$(PEERS)/bin/python bench/deploys.py --out bench/results

.PHONY: bench-edge
bench-edge: bench/.work/peers.stamp bench/.work/farrier.stamp ## Measure files, TLS and HTTP/2 beside nginx, into docs/edge.md
	$(PEERS)/bin/python bench/edge.py --out bench/results
	$(PEERS)/bin/python bench/report.py --readme

.PHONY: bench-proxy
bench-proxy: bench/.work/peers.stamp bench/.work/farrier.stamp ## Measure what a proxied request costs beside nginx, into docs/proxy-cost.md
	$(PEERS)/bin/python bench/proxy.py --out bench/results

.PHONY: bench-smoke
bench-smoke: bench/.work/peers.stamp bench/.work/farrier.stamp ## Run every benchmark for a moment; judges no time
	$(PEERS)/bin/python bench/run.py --smoke
	$(PEERS)/bin/python bench/protocols.py --smoke
	$(PEERS)/bin/python bench/edge.py --smoke
	$(PEERS)/bin/python bench/proxy.py --smoke

.PHONY: soak
soak: $(VENV)/test.stamp $(VENV)/farrier.stamp ## Serve mixed clients for SOAK_SECONDS while workers are replaced; nothing is lost or grows
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python bench/soak.py

.PHONY: clean
clean: ## Remove what was built: environments, targets, logs of the fuzzer
	rm -rf $(VENV) build target fuzz/target fuzz/artifacts bench/.work .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a target whose file is newer than what it was made from is not made again.

# Debian keeps venv's pip in a package of its own; without it, the interpreter's own pip puts one in.
$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9) and "Farrier needs CPython 3.9 or newer: make PYTHON=…")'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --quiet --python $(VENV)/bin/python install pip; }
	@touch $@

$(VENV)/build.stamp: requirements/build.txt
$(VENV)/examples.stamp: examples/requirements.txt
$(VENV)/test.stamp: tests/requirements.txt examples/requirements.txt
$(VENV)/dev.stamp: requirements/dev.txt requirements/build.txt tests/requirements.txt examples/requirements.txt

$(VENV)/build.stamp $(VENV)/examples.stamp $(VENV)/test.stamp $(VENV)/dev.stamp: | $(VENV)/venv.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Not in the environment itself: there Farrier stands in for the package of the same name.
$(VENV)/peers.stamp: tests/peers.txt $(VENV)/venv.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/peers -r $<
	@touch $@

$(VENV)/farrier.stamp: $(SOURCES) $(VENV)/build.stamp
	@command -v $(CARGO) >/dev/null || { echo "Farrier is built with Rust: https://rustup.rs"; exit 1; }
	@requirements/system
	@rm -rf $(VENV)/wheel
	$(BIN)/maturin build --locked --profile $(PROFILE) --interpreter $(BIN)/python --out $(VENV)/wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@touch $@

bench/.work/peers.stamp: bench/requirements.txt
	@requirements/system bench
	$(PYTHON) bench/setup_peers.py
	@touch $@

bench/.work/farrier.stamp: $(VENV)/farrier.stamp bench/.work/peers.stamp
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@touch $@
