# make demo    the decay of gradients with time lag, measured and plotted, in about three minutes
# make test    the whole suite
# make claims  every experiment that judges a claim, resumed where one was cut off, then docs/claims.md: hours; ARGS=--quick: minutes each
# make accelerator  every implementation on this machine's accelerator, how right and how fast: nine minutes at most, with
#              the Python that is there (PYTHON), which has JAX for it; writes docs/accelerator.md; ARGS=--toy: anywhere
# All but that are complete on a machine with Python 3.11 or newer and venv. The demo installs what it needs; the suite, linters
# and type checker add the rest to the same environment. PYTHON chooses the interpreter, VENV the environment's folder,
# JOBS the processes of the suite, ARGS is handed to what runs.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo "$$name" && break; done)
VENV ?= .venv
JOBS ?= 2
ARGS ?=
UV ?= uv

BIN := $(VENV)/bin
DEMO_READY := $(VENV)/demo-ready
READY := $(VENV)/ready
DOCS_READY := $(VENV)/docs-ready
PINS := $(foreach python,py311 py312,requirements/$(python).txt)
DEMO_PINS := $(foreach python,py311 py312,requirements/demo-$(python).txt)
COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --generate-hashes
ALL_PARTS := --extra experiments --extra sweep --extra track --extra data --extra interchange --group dev
DEMO_PARTS := --extra experiments --group build
DOCS_PARTS := --group docs
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
PY_TAG = $$($(BIN)/python -c "import sys; print('py311' if sys.version_info < (3, 12) else 'py312')")

.PHONY: demo claims accelerator test lint format mutants docs requirements clean

demo: $(DEMO_READY)
	$(BIN)/python experiments/gradient_decay.py $(ARGS)

CLAIMS := \
	gradient_decay \
	decay_at_init \
	stability \
	gates \
	cost \
	short_range_text \
	selective_memory \
	open_gradients \
	long_range \
	analogues \
	what_predicts_failure \
	forgetting \
	learning_rules \
	taught_reach \
	reproduce_le2015 \
	reproduce_pascanu2013 \
	reproduce_tallec2018

claims: $(DEMO_READY)
	for name in $(CLAIMS); do $(BIN)/python experiments/$$name.py $(ARGS) || exit 1; done
	$(BIN)/recurrax claims results

accelerator:
	PYTHONPATH="src$${PYTHONPATH:+:$$PYTHONPATH}" "$(PYTHON)" experiments/accelerator.py $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

# Every deliberate bug in turn, each to be caught by the suite: minutes per bug, so not part of `make test`.
mutants: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) -m mutants $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Keeps the pins that still fit; ARGS=--upgrade renews them all. "fewest" keeps Python 3.11's file to one version of
# each package, the one that 3.11 can have. The demo's files hold the same versions of fewer packages.
requirements:
	$(COMPILE) $(ALL_PARTS) --python-version 3.11 --fork-strategy fewest $(ARGS) --output-file requirements/py311.txt
	$(COMPILE) $(ALL_PARTS) --python-version 3.12 $(ARGS) --output-file requirements/py312.txt
	$(COMPILE) $(DEMO_PARTS) --python-version 3.11 --fork-strategy fewest --constraints requirements/py311.txt \
		--output-file requirements/demo-py311.txt
	$(COMPILE) $(DEMO_PARTS) --python-version 3.12 --constraints requirements/py312.txt \
		--output-file requirements/demo-py312.txt
	$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --fork-strategy fewest $(DOCS_PARTS) \
		--constraints requirements/py311.txt $(ARGS) --output-file requirements/docs.txt

# The pages as a site under build/docs, any warning an error.
docs: $(DOCS_READY)
	JAX_PLATFORMS=cpu $(BIN)/sphinx-build -W --keep-going -q docs build/docs $(ARGS)

clean:
	rm -rf $(VENV)

$(DEMO_READY): pyproject.toml $(DEMO_PINS)
	@test -n "$(PYTHON)" || { echo "recurrax needs Python 3.11 or newer; make PYTHON=/path/to/python names one" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(INSTALL) --require-hashes --requirement requirements/demo-$(PY_TAG).txt
	$(INSTALL) --no-build-isolation --editable .
	@echo "The environment in $(VENV) takes $$(du -sh $(VENV) | cut -f1) of disk."
	touch $@

$(READY): $(DEMO_READY) $(PINS)
	$(INSTALL) --require-hashes --requirement requirements/$(PY_TAG).txt
	touch $@

$(DOCS_READY): $(DEMO_READY) requirements/docs.txt
	$(INSTALL) --require-hashes --requirement requirements/docs.txt
	touch $@
