# make quickstart | demo | test | test-slow | lint | coverage | mutation | matrix |
#      lock | docs | install | clean
#
# Settings, to be given at the first installation (`make clean` before another choice):
#   PYTHON  interpreter for .venv
#   TORCH   torch, as arguments of `pip install`; machines with a GPU take the build that fits it
#   SPCONV  spconv and cumm, the same way; where nvidia-smi is found "spconv-cu126 cumm-cu126",
#           which "spconv-triton" may replace; else those for CPUs
#   LOCKED  1: only files whose hashes are in requirements/lock-*.txt (machines without a GPU)
#   PIP_FIND_LINKS (pip's own): folders with wheels; a built mmcv there saves its build

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

FIT := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.10 python3,$(shell \
	$(p) -c '$(FIT)' </dev/null >/dev/null 2>&1 && echo $(p))))
TORCH ?= torch==2.13.0
# The plain wheel is for CPUs alone.
SPCONV_CPU := spconv==2.3.8 cumm==0.7.11
SPCONV ?= $(if $(shell command -v nvidia-smi 2>/dev/null),spconv-cu126 cumm-cu126,$(SPCONV_CPU))
MMCV := mmcv==2.1.0

VENV := .venv
STAMPS := $(VENV)/.stamps
PY := $(VENV)/bin/python
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_DEFAULT_TIMEOUT ?= 60
PIP = $(PY) -m pip install --retries 8 --progress-bar off
LOCKED ?=
ifneq ($(LOCKED),)
  SPCONV := $(SPCONV_CPU)
endif
TAG = $$($(PY) -c 'import sys; print("cp%d%d" % sys.version_info[:2])')

# A process that was killed may leave a package without its list of files; pip would take it for
# installed.
DROP_HALF_INSTALLED = for info in $(VENV)/lib/python3.*/site-packages/*.dist-info; do \
	[ -f "$$info/RECORD" ] || rm -rf "$$info"; done; \
	rm -rf $(VENV)/lib/python3.*/site-packages/~*

.PHONY: help install quickstart demo test test-slow lint coverage mutation matrix lock docs clean

help:
	@echo 'make quickstart install, calibrate a camera on a simulated street'
	@echo 'make demo       install, simulate a drive, pretrain, evaluate, write a report'
	@echo 'make test       install, run the tests that are not slow'
	@echo 'make test-slow  install, run the slow tests'
	@echo 'make lint       check style, format and types; part of make test'
	@echo 'make coverage   run the same tests, say what they do not reach'
	@echo 'make mutation   see which faults put into geometry its tests notice; hours'
	@echo 'make matrix     install and test with Python 3.10, 3.11 and 3.12'
	@echo 'make lock       write the hashes of all packages to requirements/lock-*.txt'
	@echo 'make docs       build the pages of docs/ into docs/_build/html'
	@echo 'make install    make .venv with all packages'
	@echo 'make clean      remove .venv and caches'

install: $(STAMPS)/package

quickstart: install
	$(PY) tools/quickstart.py

demo: install
	$(PY) tools/demo.py

# A worker for each core, of about 1 GB each; more threads in a worker would only compete.
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -m 'not slow' -n logical --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) </dev/null

coverage: install
	$(PYTEST) --cov --cov-report=term --cov-fail-under=90 </dev/null

# Some of the mutations of nclr_mm/geometry, against its tests, in a copy of the files; at least 85 %
# must be noticed. Tests that fail without a mutation would notice all of them, and end it before.
MUTATIONS ?= 400
MUTATED := work_dirs/mutation
mutation: install $(STAMPS)/mutation
	rm -rf $(MUTATED) && mkdir -p $(MUTATED)
	git ls-files -z | xargs -0 cp -d --parents -t $(MUTATED)
	export PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; cd $(MUTATED); \
		cosmic-ray init tests/mutation/geometry.toml session.sqlite && \
		python tests/mutation/choose.py session.sqlite $(MUTATIONS) && \
		python tests/mutation/serve.py bash -c 'python tests/mutation/ask.py --intact && \
			cosmic-ray exec tests/mutation/geometry.toml session.sqlite' && \
		python tests/mutation/report.py session.sqlite 85

# Each Python that is there, in an environment of its own.
matrix:
	tested=; \
	for version in 3.10 3.11 3.12; do \
		python$$version -c '' || continue; \
		$(MAKE) test VENV=work_dirs/matrix/$$version PYTHON=python$$version; \
		tested+=" $$version"; \
	done; \
	echo "Tested with Python:$${tested:- none}"; test -n "$$tested"

test-slow: install
	$(PY) -m pytest -m slow </dev/null

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

lock: $(STAMPS)/mmcv
	$(PY) requirements/lock.py $(MMCV) $(TORCH) $(SPCONV_CPU)

docs: install
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) build docs/_build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

# Each stamp is made after its step has succeeded, so an interrupted installation goes on where it
# broke off.
$(STAMPS)/venv:
	@[ -n "$(PYTHON)" ] || { echo 'error: no Python 3.10, 3.11 or 3.12 was found; install one, or name it: make install PYTHON=/path/to/python3.11' >&2; exit 1; }
	$(PY) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	mkdir -p $(STAMPS)
	touch $@

# With LOCKED everything but mmcv comes at once, so that the later steps find it installed.
$(STAMPS)/build: requirements/build.txt $(STAMPS)/venv
	$(DROP_HALF_INSTALLED)
	$(PIP) $(if $(LOCKED),--no-deps --require-hashes -r requirements/lock-$(TAG).txt,-r $<)
	touch $@

$(STAMPS)/torch: $(STAMPS)/build
	$(DROP_HALF_INSTALLED)
	$(PIP) $(TORCH) --constraint requirements/build.txt --constraint requirements/runtime.txt
	touch $@

$(STAMPS)/runtime: requirements/runtime.txt requirements/dev.txt requirements/docs.txt $(STAMPS)/torch
	$(DROP_HALF_INSTALLED)
	$(PIP) --no-deps -r requirements/runtime.txt -r requirements/dev.txt -r requirements/docs.txt
	$(PIP) --no-deps $(SPCONV)
	touch $@

# A wheel where pip finds one, else its source package. One that was built for another torch does not
# import: then it is built here.
MMCV_BUILD = MMCV_WITH_OPS=1 MAX_JOBS=$(CORES) CFLAGS=-g0 CXXFLAGS=-g0 \
	$(PIP) --no-deps --no-build-isolation
MMCV_REQUIRED = $(if $(LOCKED),--require-hashes -r requirements/lock-mmcv.txt,$(MMCV))

$(STAMPS)/mmcv: $(STAMPS)/runtime
	$(DROP_HALF_INSTALLED)
	$(MMCV_BUILD) $(MMCV_REQUIRED)
	$(PY) -c 'import mmcv.ops' || \
		$(MMCV_BUILD) --force-reinstall --no-cache-dir --no-binary mmcv $(MMCV_REQUIRED)
	$(PY) -c 'import mmcv.ops'
	touch $@

$(STAMPS)/mutation: requirements/mutation.txt $(STAMPS)/mmcv
	$(PIP) --no-deps -r $<
	touch $@

$(STAMPS)/package: setup.py pyproject.toml $(STAMPS)/mmcv
	$(PIP) --no-deps --no-build-isolation --editable .
	$(PY) -c 'import nclr_mm'
	touch $@
