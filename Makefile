# Everything a person types. Each target sets up what it needs and is quick when there is nothing to do.
PYTHON ?= python3
PORT ?= 5000
PATH := $(CURDIR)/.venv/bin:$(PATH)
export PATH
# Figures are drawn without a display, wherever this runs.
export MPLBACKEND := Agg
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help repro doctor verify lock study publish test test-all test-cluster fuzz soak profile exp dag mlflow crate lint requirements audit bench bench-gpu

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | expand -t 16

# The lists are whole, so nothing is resolved, and each file has one of the hashes there. The one package that comes as
# source is built by the setuptools of the list. torch: a build for CPUs where pip is told of one, else PyPI's, which on
# Linux wants CUDA's libraries beside it (docs/gpus.md).
PIP := .venv/bin/python -m pip install --quiet --require-hashes --no-deps --no-build-isolation
HAS_CUDA := .venv/bin/python -c 'import sys, importlib.metadata as m; sys.exit("nvidia" not in str(m.requires("torch")))'
$(INSTALLED): requirements.txt requirements-cpu.txt requirements-cuda.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] in ((3, 11), (3, 12)) else "Python 3.11 or 3.12 is needed, $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' || (echo "The module venv is missing; on Debian: apt-get install python3-venv" && false)
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	sed -n '/^setuptools==/,/# via/p' requirements.txt > .venv/setuptools.txt
	$(PIP) --requirement .venv/setuptools.txt
	@$(PIP) --requirement requirements-cpu.txt 2> .venv/torch.log \
		|| grep -E 'No matching distribution|ResolutionImpossible' .venv/torch.log || (cat .venv/torch.log && false)
	$(PIP) --requirement requirements.txt
	! $(HAS_CUDA) || $(PIP) --requirement requirements-cuda.txt
	.venv/bin/python -m pip check
	@touch $@

repro: $(INSTALLED) ## Run the pipeline, from data to tables; JOBS=2 or CLUSTER=slurm: runs side by side
	@python -m pipeline.params
	$(if $(JOBS)$(CLUSTER),python -m pipeline.parallel $(if $(JOBS),--jobs $(JOBS)) $(if $(CLUSTER),--cluster $(CLUSTER)))
	$(if $(JOBS)$(CLUSTER),@dvc status --quiet || (echo "Stages ran side by side, and DVC still has something to do:" >&2 && dvc status >&2 && false))
	dvc repro
	@python -m pipeline.committed
	@echo "The report: file://$(CURDIR)/reports/index.html"

doctor: $(INSTALLED) ## Is this machine ready for the planned trainings: steps of one, and what to expect of all
	@python -m pipeline.doctor

verify: $(INSTALLED) ## Run the demo from nothing, in a folder of its own, and compare it with the committed dvc.lock
	python -m pipeline.verify --from-nothing

lock: $(INSTALLED) ## Run the demo from nothing, and write dvc.lock with docs/demo, what it stands for
	python -m pipeline.verify --from-nothing --write

study: $(INSTALLED) ## NAME=lspet-small: make a published study's report again, without data, and compare it
	python -m pipeline.study $(NAME)

publish: $(INSTALLED) ## NAME=lspet-small: write what the report is made of, and the report, to studies/NAME
	python -m pipeline.study $(NAME) --publish

# Two processes of one thread each: threads that wait would take each other's core.
test: $(INSTALLED) ## Run the tests, but for the slow ones; COVERAGE=1: of the code too, of which they must run 90%
	OMP_NUM_THREADS=1 python -m pytest -m "not slow" --numprocesses 2 --dist loadfile \
		$(if $(COVERAGE),--cov=pipeline --cov-report=term:skip-covered --cov-fail-under=90)

test-all: $(INSTALLED) ## Run all tests
	python -m pytest

fuzz: $(INSTALLED) ## Have spoiled files read, for SECONDS=3600; what is found stays under tests/fuzz/found
	python -m tests.fuzz --keep --seed "$$(date +%s)" --seconds $(or $(SECONDS),3600)

test-cluster: $(INSTALLED) ## Run the tests on a Slurm of this machine's own; as root, with Debian's slurm-wlm and munge
	TEST_CLUSTER=1 python -m pytest tests/cluster

soak: $(INSTALLED) ## Kill a small pipeline KILLS=50 times, in every stage: it must end in the same bytes
	python -m tests.soak --kills $(or $(KILLS),50)

profile: $(INSTALLED) ## NAME=demo|mirror|lspet|paper: write params.yaml as the profile has it
	@python -m pipeline.profiles $(NAME)

exp: $(INSTALLED) ## Show experiments: what varies, and the guided network's main metric on each dataset
	@dvc exp show --only-changed --no-pager --precision 2 --drop '.*/|(pipeline|stages|results)$$|.*\.(runs|gain_at_radius|gain_intervals)'

dag: $(INSTALLED) ## Show the stages as a graph in Mermaid, a box a dataset
	@python -m pipeline.dag

mlflow: $(INSTALLED) ## Bring the runs into MLflow and show them side by side in a browser, at PORT=5000
	@python -m pipeline.comparison --port $(PORT) $(if $(WEIGHTS),--weights)

# roc-validator wants older versions of click and rich than other packages here.
CRATE := .venv/crate/bin/python
$(CRATE):
	$(PYTHON) -m venv .venv/crate
	$@ -m pip install --quiet roc-validator==0.13.0

crate: $(INSTALLED) $(CRATE) ## Check reports/ro-crate-metadata.json, where everything came from, by roc-validator
	$(CRATE) tests/report/validator.py reports .venv/lib/python3.*/site-packages/rocrate/data/ro-crate.jsonld

bench: $(INSTALLED) ## Measure loader, training steps, guidance and evaluation on the CPU, in minutes
	python -m benchmarks.loader
	python -m benchmarks.training --device cpu
	python -m benchmarks.guidance_cost --device cpu --repeats 21
	python -m benchmarks.evaluation

# A part that takes longer is broken, and says so by status 124.
bench-gpu: $(INSTALLED) ## Test and measure training steps and guidance on a GPU, each part within 10 minutes
	timeout 600 python -m pytest -q tests/training/test_cuda.py tests/training/test_trial.py
	timeout 600 python -m pipeline.doctor
	timeout 600 python -m benchmarks.training --device cuda --networks sg_hrnet_w32 --batch 32
	timeout 600 python -m benchmarks.guidance_cost --device cuda --batch 32 --precision bfloat16

lint: $(INSTALLED) ## Check style and types
	ruff check .
	ruff format --check .
	mypy

.venv/bin/uv:
	$(MAKE) $(INSTALLED)

# What is pinned already stays; UPGRADE=--upgrade takes the newest of all, and UPGRADE='--upgrade-package NAME' of one.
requirements: .venv/bin/uv ## Resolve requirements.in into requirements.txt and requirements-cuda.txt, with hashes
	cat requirements.txt requirements-cuda.txt > .venv/resolved.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE) \
		--output-file .venv/resolved.txt requirements.in
	awk 'BEGIN { out = "requirements.txt"; cuda = "requirements-cuda.txt"; \
			print "# Written by `make requirements` from requirements.in." > out; \
			print "# What torch wants besides where it is built for CUDA. Written by `make requirements`." > cuda } \
		/^[a-z]/ { file = /^(cuda|nvidia|triton)/ ? cuda : out } { print > file }' .venv/resolved.txt

audit: $(INSTALLED) ## Check what is installed against requirements.txt, its own hashes, and known vulnerabilities
	python -m tests.installed requirements.txt requirements-cuda.txt
	uv tool run pip-audit@2.10.1 --strict --require-hashes --disable-pip \
		--requirement requirements.txt --requirement requirements-cuda.txt
