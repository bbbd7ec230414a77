# scINN: `make help` lists what there is.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
OUT    ?= scinn-demo
BENCH  ?=
MODEL  ?=

.PHONY: help demo test lint docs models bench cost compat clean
.DEFAULT_GOAL := help

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Every install goes through constraints.txt: it pins what is tested, and keeps torch to a build without CUDA where one is to be had.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The methods that `make bench` compares with. Not among what tests need: they bring some forty packages along.
$(VENV)/bench-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

demo: $(VENV)/installed  ## Train on a simulated tissue, apply the file to a batch never seen, print a table, draw a picture
	$(BIN)/scinn-train demo -o $(OUT)

test: $(VENV)/installed  ## The whole test suite
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/installed  ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

models: $(VENV)/installed  ## Train the shipped models again (MODEL=NAME: one of them), with registry, cards and golden values
	$(BIN)/python models/build.py $(MODEL)
docs: $(VENV)/installed  ## The documentation site, into site/
	$(BIN)/mkdocs build --strict

bench: $(VENV)/bench-installed  ## How good the imputation is, beside other methods: docs/benchmarks.md (hours; what is recorded is kept)
	$(BIN)/python benchmarks/bench.py $(BENCH)

cost: $(VENV)/bench-installed  ## Measure speed and memory, also of MAGIC and scVI: benchmarks/results, docs/speed.md
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/apply_speed.py
	$(BIN)/python benchmarks/apply_genes.py
	$(BIN)/python benchmarks/apply_versus.py
	$(BIN)/python benchmarks/apply_memory.py
	$(BIN)/python benchmarks/apply_resume.py
	$(BIN)/python benchmarks/fit_cost.py
	$(BIN)/python benchmarks/cost_report.py

compat: .venv-base/installed  ## The base install alone, on the oldest onnxruntime
	cd models && ../.venv-base/bin/python ../tests/base/check_base_install.py tiny.onnx

.venv-base/installed: pyproject.toml constraints-oldest.txt models/registry.json $(wildcard scinn_infer/*.py scinn_infer/*/*.py)
	$(PYTHON) -m venv .venv-base
	.venv-base/bin/python -m pip install --quiet --constraint constraints-oldest.txt .
	.venv-base/bin/python -m pip install --quiet --no-deps --force-reinstall .
	touch $@

clean:  ## Remove the virtual environments, caches and the built site
	rm -rf site .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
