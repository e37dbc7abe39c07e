# Every target does the set-up that it needs: a virtual environment in .venv with the versions of requirements_lock.txt.
# `make` alone lists the targets; docs/development.md says more.

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

# cpu or gpu: which TensorFlow is installed.
ACCELERATOR ?= cpu
EXTRAS ?= $(ACCELERATOR),jax,tflite,micro,onnx,data,dev

# What the targets run; ARGS is added to each.
MAIN_JOB ?= train_main.py --config=configs/quickstart.py --workdir=runs/quickstart
BENCH_JOB ?= tflite/benchmark.py
SERVE_JOB ?= tflite/serve_demo.py
RESULTS_JOB ?= -m keras_dynamic.experiments.pages
ARGS ?=

# Processes that the tests run in.
WORKERS ?= 2
PYTEST := $(PYTHON) -m pytest --numprocesses=$(WORKERS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help setup setup-edge setup-web run test ci slow fuzz bench serve-demo results lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## build .venv and install everything (the other targets do it by themselves)

# Always run: it does nothing, in half a second, where the environment is complete.
.PHONY: $(INSTALLED)
$(INSTALLED):
	@tools/set_up.sh $(VENV) $(EXTRAS)

# tflite-runtime wants NumPy 1 and cannot share a process with TensorFlow.
setup-edge: ## build .venv-edge with tflite-runtime 2.14, for tests of what old boards run
	python3.11 -m venv .venv-edge
	.venv-edge/bin/pip install --quiet "tflite-runtime==2.14.0" "numpy<2" pillow

setup-web: ## install LiteRT.js, which tflite/web_demo.py puts into its page (needs npm)
	npm ci --prefix tflite/web --no-audit --no-fund

run: $(INSTALLED) ## run the main job; its models and its report land in runs/quickstart
	$(PYTHON) $(MAIN_JOB) $(ARGS)

test: $(INSTALLED) ## run the default tests
	$(PYTEST) $(ARGS)

ci: lint ## check everything and run all tests but the slow ones
	$(PYTEST) -m "not slow" $(ARGS)

slow: $(INSTALLED) ## run the slow tests (DATA_DIR and WEIGHTS_DIR say where data and weights lie)
	$(PYTHON) -m pytest -m slow $(ARGS)

fuzz: $(INSTALLED) ## damage exported files in 10,000 ways and read them (half an hour)
	PYTHONPATH=. $(PYTHON) tools/fuzz.py --digest=renewed $(ARGS)
	PYTHONPATH=. $(PYTHON) tools/fuzz.py --digest=kept --mutations=2000 $(ARGS)

bench: $(INSTALLED) ## measure dynamic against static models
	$(PYTHON) $(BENCH_JOB) $(ARGS)

serve-demo: $(INSTALLED) ## classify a folder of images in batches under a budget (the images that ship, by default)
	$(PYTHON) $(SERVE_JOB) $(ARGS)

results: $(INSTALLED) ## write docs/results.md and the README's tables from the records in results/
	$(PYTHON) $(RESULTS_JOB) $(ARGS)

lint: $(INSTALLED) ## check style, format, types and imports
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

format: $(INSTALLED) ## put the sources into the form that lint wants
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lock: ## write requirements_lock.txt anew from the newest versions that setup.py allows
	tools/lock.sh $(EXTRAS)

clean: ## remove the environment, caches and builds; runs/ stays
	rm -rf $(VENV) .venv-lock build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
