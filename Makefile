# The two commands are `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE ?= $(or $(FLYBALL_CACHE),$(HOME)/.cache/flyball)
export CACHE
RUN := . scripts/env.sh &&

.PHONY: help
help: ## Show this list
	@echo "Flyball: privilege exists only while a task holds it."
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Install everything, locked, and build the decision plane
	@scripts/setup.sh

.PHONY: demo
demo: ## Set up, then watch privilege live and die with a task (KEEP=1 leaves it running)
	@scripts/setup.sh --no-dev
	@$(RUN) flyball demo $(if $(KEEP),--keep,) $(ARGS)

.PHONY: check
check: setup ## Format, lint, types, import contracts
	@$(RUN) scripts/check.sh

.PHONY: test
test: setup parts ## Set up, then all tests (cargo and pytest)
	@$(RUN) scripts/test.sh

.PHONY: nightly
nightly: setup ## 100,000 random intents and traces: the decision plane beside its plain model
	@$(RUN) FLYBALL_INTENT_CASES=$(or $(CASES),100000) pytest -n auto tests/properties/test_intent_model.py

.PHONY: parts
parts: ## Install what only a system package gives, where that is allowed
	@scripts/parts.sh

.PHONY: peers
peers: ## Build the peers that benchmarks and tests compare with (once, into $(CACHE))
	@scripts/peers.sh

.PHONY: bench
bench: setup parts peers ## Side-by-side figures into bench/results.json and bench/RESULTS.md (ONLY=id runs one)
	@$(RUN) uv sync -q --frozen --all-extras --no-install-project --inexact --group build --group peers
	@$(RUN) python -m bench $(if $(ONLY),--only $(ONLY),)

PROFILES ?= bench/intent/profiles
SUITES ?= workspace,travel,shopping,dailylife,airline,retail
.PHONY: bench-intent
bench-intent: setup ## Public suites of attacks against a folder of profiles (PROFILES=folder SUITES=a,b ARGS=…)
	@$(RUN) uv sync -q --frozen --all-extras --no-install-project --inexact --group build --group bench
	@$(RUN) python -m bench.intent --suite $(SUITES) --profiles $(PROFILES) $(ARGS)

.PHONY: chaos
chaos: setup parts ## kill -9 while issuing, 300 trials beside OpenBao
	@$(RUN) python -m bench --only orphans

.PHONY: wheel
wheel: setup ## An installable wheel of the server and one of the SDK, in dist/
	@$(RUN) scripts/wheel.sh

.PHONY: clean
clean: ## Remove what was built in this tree
	rm -rf target .venv .tools dist .flyball src/flyball/_core/*.so
