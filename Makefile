# The two commands: `make run` and `make test`. Each does its own set-up; nothing else is needed first.

VENV   := .venv
BIN    := $(VENV)/bin
COMPILED := .venv-compiled
OPTIMIZE ?= 2
# Most tests of whole gateways wait most of the time: more of them at once than there are cores.
JOBS   ?= 3
# These cover what they test completely, and by themselves.
COVERED := tests/domain tests/pipeline
COMPILED_STAMP := $(COMPILED)/.ready-$(OPTIMIZE)
# Sources that changed, or were cleaned, since they were installed: a start without their bytecode takes half as long again.
BYTECODE := gateway/__pycache__/.all
CONFIG ?= config.yaml
PIP    := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
# A compiled build that is measured is the one of these sources, if there is any.
MEASURED := $(if $(wildcard $(COMPILED)/.ready*),$(COMPILED_STAMP))
COMPILED_PIP := PIP_QUIET=2 PIP_DISABLE_PIP_VERSION_CHECK=1 $(COMPILED)/bin/python -m pip

.DEFAULT_GOAL := help
.PHONY: help run test lint types bench bench-quick bench-full bench-growth bench-workers bench-docs bench-transfer \
        bench-handshakes bench-streams bench-revocation bench-stream-cut bench-hostile bench-reload bench-keys \
        bench-soak bench-instructions bench-usage bench-series profile autobahn conformance fuzz docs dashboards \
        screenshots alerts-demo fmt clean distclean bench-traces compile run-compiled test-compiled bench-limits \
        cluster bench-cluster bench-upgrade bench-snapshots bench-capacity bench-start chaos

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.ready-to-run $(BYTECODE) ## start the gateway with the demo upstream and print curl commands to paste
	@$(BIN)/tollhouse run --demo --config $(CONFIG)

cluster: $(VENV)/.ready-to-test ## start three gateways, PostgreSQL and Redis, and print what to try (Ctrl-C ends all)
	@exec $(BIN)/python -m bench.cluster

compile: $(COMPILED_STAMP) ## build the gateway compiled, into .venv-compiled (needs a C compiler; some minutes)
	@$(COMPILED)/bin/tollhouse --version

run-compiled: compile ## like `make run`, with the compiled build
	@$(COMPILED)/bin/tollhouse run --demo --config $(CONFIG)

test: lint types $(BYTECODE) ## lint, types, all tests, and full coverage of domain and pipeline
	@$(BIN)/coverage erase
	$(BIN)/python -m pytest -n 2 --cov --cov-report= $(COVERED)
	@$(BIN)/coverage report --skip-covered --show-missing --fail-under=100
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(COVERED:%=--ignore=%)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/dashboard

# The tests run in a folder without `gateway`: a folder that had it would be imported instead of what is installed.
test-compiled: $(COMPILED_STAMP)-to-test ## the tests, against the compiled build
	@rm -rf $(COMPILED)/tree && mkdir $(COMPILED)/tree
	@cp -r tests bench deploy docs config.yaml pyproject.toml setup.py README.md $(COMPILED)/tree
	cd $(COMPILED)/tree && TOLLHOUSE_BUILD=compiled ../bin/python -m pytest -n $(JOBS) --dist worksteal -m 'not pure' $(TESTS)

lint: $(VENV)/.ready-to-test ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: $(VENV)/.ready-to-test ## check types (mypy strict)
	$(BIN)/mypy -p gateway -p tests -p bench -p deploy

bench: $(VENV)/.ready-to-run $(MEASURED) ## measure beside nginx, HAProxy, an aiohttp proxy and others (needs nginx, wrk; 5 minutes)
	@$(BIN)/python -m bench $(BENCH)

bench-quick: $(VENV)/.ready-to-run $(MEASURED) ## the same in two minutes, with more noise
	@$(BIN)/python -m bench --quick $(BENCH)

bench-full: $(VENV)/.ready-to-run $(MEASURED) ## the same with more rounds and floods on everybody, then growth and workers (40 minutes)
	@$(BIN)/python -m bench --full $(BENCH)
	@$(BIN)/python -m bench.growth --rounds 12
	@$(BIN)/python -m bench.scaling --rounds 12

bench-growth: $(VENV)/.ready-to-run ## measure up to 10,000 routes, 1,000,000 keys, 4,096 connections; writes docs/figures
	@$(BIN)/python -m bench.growth --write docs/figures

bench-workers: $(VENV)/.ready-to-run ## measure one worker and two in turn; writes docs/figures
	@$(BIN)/python -m bench.scaling --write docs/figures

bench-docs: $(VENV)/.ready-to-run $(MEASURED) ## write the figures of docs/figures and of the README (15 minutes; a quiet machine)
	@$(BIN)/python -m bench --rounds 8 --other-rounds 3 --write docs/figures --readme README.md $(BENCH)
	@$(BIN)/python -m bench.growth --rounds 5 --write docs/figures
	@$(BIN)/python -m bench.scaling --write docs/figures

bench-transfer: $(VENV)/.ready-to-run ## send 1 GiB down and up and report the gateway's peak memory
	@$(BIN)/python -m bench.transfer

bench-streams: $(VENV)/.ready-to-run ## measure event streams, WebSockets and the cut of some (needs nginx and wrk)
	@$(BIN)/python -m bench.streams

bench-revocation: $(VENV)/.ready-to-run ## revoke keys at random under load: nobody may begin under one (needs nginx, wrk; 2 minutes)
	@$(BIN)/python -m bench.revocation --write docs/figures

bench-traces: $(VENV)/.ready-to-test ## what traces cost: none, some and all of them exported (needs nginx and wrk; 3 minutes)
	@$(BIN)/python -m bench.traces

bench-stream-cut: $(VENV)/.ready-to-run ## revoke 10 of 100 keys with 1,000 streams: exactly 100 end, within a second
	@$(BIN)/python -m bench.stream_cut --write docs/figures

autobahn: $(VENV)/.ready-to-run ## run the Autobahn test suite directly and through the gateway (needs Python 2.7)
	@$(BIN)/python -m bench.autobahn

bench-hostile: $(VENV)/.ready-to-run ## measure normal traffic beside floods, slow and idle clients (needs nginx; 3 minutes)
	@$(BIN)/python -m bench.hostile

conformance: $(VENV)/.ready-to-test ## judge Tollhouse, nginx and HAProxy by the same cases and write docs/conformance.md
	@$(BIN)/python -m tests.conformance

fuzz: $(VENV)/.ready-to-test ## compare what is forwarded with what second readers see, for FUZZ_SECONDS (60)
	@$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),60) --seed $(or $(FUZZ_SEED),1)

chaos: $(VENV)/.ready-to-test ## break every server and process under load; writes docs/figures/chaos.md (needs root for some; 15 minutes)
	@$(BIN)/python -m tests.chaos $(or $(SCENES),--write docs/figures)

bench-limits: $(VENV)/.ready-to-test ## measure limits in memory, in Redis and leased; simulate 100 nodes (needs nginx, wrk, redis-server)
	@$(BIN)/python -m bench.shared_limits
	@$(BIN)/python -m bench.leased_simulation

bench-cluster: $(VENV)/.ready-to-test ## limits, revocation and a killed node over three gateways under load; writes docs/figures (3 minutes)
	@$(BIN)/python -m bench.cluster.figures --write docs/figures

bench-upgrade: $(VENV)/.ready-to-test ## replace gateways under load by another version: no failed request; writes docs/figures (2 minutes)
	@$(BIN)/python -m bench.upgrade --write docs/figures

bench-reload: $(VENV)/.ready-to-run ## reload every 100 ms for a minute under load: no failed request, flat memory
	@$(BIN)/python -m bench.reload

bench-instructions: $(VENV)/.ready-to-run ## count the instructions of one request, by how it ends (needs valgrind; 2 minutes)
	@$(BIN)/python -m bench.instructions

bench-usage: $(VENV)/.ready-to-test ## what usage costs per request, and per second of 10,000 active keys
	@$(BIN)/python -m bench.usage --postgres

bench-series: $(VENV)/.ready-to-run ## a million requests that have nothing in common: bounded series, flat memory (2 minutes)
	@$(BIN)/python -m bench.series

profile: $(VENV)/.ready-to-run ## draw a flame graph under load, count system calls (needs nginx, wrk, strace, py-spy)
	@$(BIN)/python -c 'import shutil, sys; sys.exit(not shutil.which("py-spy", path="$(BIN)"))' \
	  || $(PIP) --editable '.[profile]'
	@$(BIN)/python -m bench.profile

bench-handshakes: $(VENV)/.ready-to-run ## what TLS costs: new connections, requests on kept ones, memory
	@$(BIN)/python -m bench.handshakes

bench-keys: $(VENV)/.ready-to-run ## a million keys in SQLite: cold look-ups, memory, start (600 MB once; needs nginx)
	@$(BIN)/python -m bench.keys --out docs/figures $(if $(KEYS_FOLDER),--folder $(KEYS_FOLDER))

bench-snapshots: $(VENV)/.ready-to-run ## the snapshot of 100,000 and 1,000,000 keys: time, size, latency meanwhile (1.2 GB once)
	@$(BIN)/python -m bench.snapshots --out docs/figures $(if $(KEYS_FOLDER),--folder $(KEYS_FOLDER))

bench-capacity: $(VENV)/.ready-to-test ## what keys, requests and changes take in stores and ask of PostgreSQL; writes docs/figures (20 minutes; 6 GB)
	@$(BIN)/python -m bench.capacity_figures --write docs/figures

bench-start: $(VENV)/.ready-to-run $(BYTECODE) ## starts: time to the first answer, CPU, memory; a killed worker; writes docs/figures (2 minutes)
	@$(BIN)/python -m bench.start --write docs/figures

bench-soak: $(VENV)/.ready-to-run ## ten minutes (SOAK_SECONDS) of mixed load; write docs/figures/soak.md; fails when memory grows
	@$(BIN)/python -m bench.soak --seconds $(or $(SOAK_SECONDS),600) --out docs/figures

docs: $(VENV)/.ready-to-run ## write docs/reference from the code
	@$(BIN)/tollhouse docs

alerts-demo: $(VENV)/.ready-to-test ## demo traffic in which each alert fires once; writes docs/figures/alerts.md (needs openssl)
	@$(BIN)/python -m gateway.demo.alerts --write docs/figures/alerts.md

screenshots: $(VENV)/.ready-to-test ## take pictures of the dashboard for docs/dashboard (needs chromium; better with pngquant and Inter)
	@$(BIN)/python -m tests.dashboard.screenshots $(PICTURES)

dashboards: $(VENV)/.ready-to-run ## write deploy/grafana/*.json from the code
	@$(BIN)/python -m deploy.grafana

fmt: $(VENV)/.ready-to-test ## format the code and repair what ruff can repair
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

clean: ## remove caches and reports; keeps .venv and the data folder
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov
	find gateway tests bench deploy -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove .venv and .venv-compiled
	rm -rf $(VENV) $(COMPILED)

# Set-up. A stamp is newer than pyproject.toml when the environment matches it, so a second run starts at once.

$(VENV)/.ready-to-run: pyproject.toml | $(BIN)/python
	@echo "Installing Tollhouse into $(VENV) (first start, or pyproject.toml changed) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.ready-to-test: pyproject.toml | $(BIN)/python
	@echo "Installing Tollhouse and its test tools into $(VENV) ..."
	@$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.ready-to-run

$(BYTECODE): $(shell find gateway -name '*.py') | $(BIN)/python
	@$(BIN)/python -m compileall -q gateway && touch $@ || true

# The compiled build is an environment of its own, and never editable: its modules would lie beside sources that were
# edited since, and win. OPTIMIZE=0 compiles in half the time, for tests.

$(COMPILED_STAMP): setup.py pyproject.toml $(shell find gateway -name '*.py' -o -name '*.sql') | $(BIN)/python
	@echo "Compiling Tollhouse into $(COMPILED) ..."
	@$(BIN)/python -m venv $(COMPILED)
	@rm -rf build/lib.* $(COMPILED)/dist $(COMPILED)/.ready*
	@TOLLHOUSE_COMPILE=1 TOLLHOUSE_COMPILE_OPT=$(OPTIMIZE) $(COMPILED_PIP) wheel --no-deps \
	  --wheel-dir $(COMPILED)/dist .
	@$(COMPILED_PIP) install --force-reinstall --no-deps $(COMPILED)/dist/*.whl
	@$(COMPILED_PIP) install $(COMPILED)/dist/*.whl
	@touch $@

$(COMPILED_STAMP)-to-test: $(COMPILED_STAMP)
	@$(COMPILED_PIP) install "$$(echo $(COMPILED)/dist/*.whl)[test]"
	@touch $@

# PYTHON may name the interpreter; otherwise the first of these that is 3.11 or newer is taken.
$(BIN)/python:
	@for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  "$$candidate" -m venv $(VENV) && exit 0; \
	  rm -rf $(VENV); \
	  echo "'$$candidate -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	done; \
	echo "Tollhouse needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
	exit 1
