# Everything happens in .venv inside the checkout; nothing outside it is changed, but for
# `make install`, which links the plugin into your own Ikomia.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PLUGIN := infer_segment_anything_2
IKOMIA_HOME ?= $(HOME)/Ikomia
# `make demo TORCH=cpu`: PyTorch without CUDA, 1 GB instead of 7.
TORCH ?=
TORCH_INDEX := $(if $(filter cpu,$(TORCH)),--index-url https://download.pytorch.org/whl/cpu)

# No CUDA extension: the plugin does not use it. No auto-completion: it would import all plugins.
export SAM2_BUILD_CUDA := 0
export IKOMIA_AUTO_COMPLETION := 0

.PHONY: help setup demo page test test-slow check unit install package check-install widget-shot bench fuzz soak tuning-docs training-pictures audit

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY)  ## make .venv with everything in it

$(READY): requirements.txt requirements-cluster.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else \
	  "Python 3.10, 3.11 or 3.12 is needed (ikomia has wheels for those), this is %d.%d; " % v + \
	  "run: make PYTHON=python3.11 <target>")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel
	@echo "Installing torch and the rest (several GB, a few minutes)"
	$(BIN)/pip install --quiet $(TORCH_INDEX) $$(grep -E '^torch' requirements.txt)
	$(BIN)/pip install --quiet --no-build-isolation -r requirements.txt ikomia==0.16.1
	$(BIN)/pip install --quiet -r requirements-cluster.txt --group dev
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup  ## segment photos through an Ikomia workflow and track a clip, into demo_output/
	$(BIN)/python -m scripts.demo

page: setup  ## point and tune in the browser, on a photo and with the bundled model
	$(BIN)/python -m scripts.page

test: check unit  ## what CI runs: style, types, layering, the tests

check: setup  ## style, types and layering
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup  ## the tests but for the slow ones, in less than 15 minutes of CPU
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup  ## the slow ones: official shapes against Meta's code, the pictures of the documentation, Ray
	SAM2_TEST_CLUSTER=1 $(BIN)/python -m pytest -m slow

install: setup  ## link the plugin into your own Ikomia
	mkdir -p $(IKOMIA_HOME)/Plugins/Python
	ln -sfn $(CURDIR)/$(PLUGIN) $(IKOMIA_HOME)/Plugins/Python/$(PLUGIN)
	@echo "Linked. Ikomia's own Python needs: pip install --no-build-isolation -r requirements.txt"

package: setup  ## dist/: the zip and the folder that the Ikomia HUB takes
	$(BIN)/python -m scripts.package

check-install: package  ## install that package into a bare environment as a user's Ikomia does
	$(BIN)/python -m scripts.check_install

widget-shot: setup  ## pictures of Studio's form, into widget_shots/
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m scripts.widget_shot

bench: setup  ## a short form of the benchmark against Meta's code
	$(BIN)/python -m benchmarks.automatic_masks --short

fuzz: setup  ## 20,000 cases of bad and odd input
	$(BIN)/python -m scripts.fuzz

soak: setup  ## 200 runs in a row: does memory stay flat?
	$(BIN)/python -m scripts.soak

tuning-docs: setup  ## the pictures and figures of docs/tuning.md, on the bundled network
	$(BIN)/python -m scripts.tuning_docs

training-pictures: setup  ## Debian's pictures for training and its evaluation, into training/pictures/ (720 MB)
	$(BIN)/python -m training.fetch_pictures

audit: setup  ## known vulnerabilities of the dependencies, asked of PyPI; before a release
	$(BIN)/pip install --quiet pip-audit
	$(BIN)/pip-audit --progress-spinner off -r requirements.txt
