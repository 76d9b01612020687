# make lab    everything from nothing to JupyterLab, on your own copies of the notebooks
# make test   everything that can be tested on this machine
#
# Variables:  PYTHON=python3.12        which Python makes the environment (3.11 or 3.12)
#             PIP_FLAGS="..."          handed to pip, for example another package index
#             EXTRAS=                  leave PyTorch out (Labs 1 and 2 but for one exercise)
#             LAB_FLAGS="--port=9999"  handed to JupyterLab
#             PYTEST_FLAGS="-k lab01"  handed to pytest
#             WORKERS=0                tests one after the other (default: three at a time)

PYTHON ?=
PIP_FLAGS ?=
EXTRAS ?= torch
LAB_FLAGS ?=
PYTEST_FLAGS ?=
# Three on two cores: with two, the cores wait for servers half of the time.
WORKERS ?= 3
VENV ?= .venv

comma := ,
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed$(subst $(comma),-,$(if $(EXTRAS),-$(EXTRAS)))
TEST_EXTRAS := $(if $(EXTRAS),$(EXTRAS)$(comma))test
SUBMAKE := $(MAKE) --no-print-directory

.PHONY: help lab demo test lint notebooks install preflight clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^$$/q;s/^# \{0,1\}//p' Makefile

preflight:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/preflight.sh >/dev/null && echo "This machine can run the labs."

# The stamp makes a second run instant. It is renewed when the pinned versions change.
$(STAMP): pyproject.toml constraints.txt
	@python=$$(PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/preflight.sh) || exit 1; \
	if ! "$(BIN)/python" -m pip --version >/dev/null 2>&1; then \
		echo "Making the environment $(VENV) with $$python"; \
		"$$python" -m venv --clear "$(VENV)" || exit 1; \
	fi; \
	echo "Installing the pinned packages (some minutes the first time)"; \
	"$(BIN)/python" -m pip install --disable-pip-version-check $(PIP_FLAGS) \
		-e ".$(if $(EXTRAS),[$(EXTRAS)])" -c constraints.txt || exit 1; \
	touch "$@"

install: $(STAMP)

lab: install
	@$(BIN)/triton-lab lab $(LAB_FLAGS)

demo: install
	@$(BIN)/triton-lab demo

# ruff, mypy and the check of the generated notebooks run inside pytest (tests/house/test_style.py), so
# that pytest's summary, the last thing printed, speaks for all of them.
test:
	@$(SUBMAKE) install EXTRAS="$(TEST_EXTRAS)"
	@sh scripts/system-packages.sh
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST_FLAGS)

lint:
	@$(SUBMAKE) install EXTRAS="$(TEST_EXTRAS)"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m lab_utils.notebooks.generate --check

# For authors: write labs/*.ipynb and labs_solutions/*.ipynb from labs_solutions/*.py.
notebooks:
	@$(SUBMAKE) install EXTRAS="$(TEST_EXTRAS)"
	@$(BIN)/python -m lab_utils.notebooks.generate

# Leaves work/ alone: that is the student's.
clean:
	@if [ -x $(BIN)/triton-lab ]; then $(BIN)/triton-lab stop --all; fi
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './work/*' -prune -exec rm -rf {} +
