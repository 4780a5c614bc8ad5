# Needs Python 3.11 or newer, make and a package index. Everything is installed into .venv.
PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
PIXELS_ARGS ?=
LEAKS_ARGS ?=
CRASH_ARGS ?=
ATTACK_ARGS ?=
ROOM ?=
SAMPLE ?= 100
SEED ?= 1
MUTANTS_ARGS ?=
IMAGE ?= swath
VARIANT ?= cpu
ON ?= aws
DOCKER_ARGS ?=
PACKER_ARGS ?=
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt $(PIP_ARGS)
# pip compiles on one core, and takes half of its time for it. Some packages bring files that are not for this Python.
COMPILE = $(BIN)/python -m compileall -qq -j 0 .venv/lib || true

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check attack mutants crashtest crashtest-clouds lint schema bench bench-leaks image machine-image base-digest lock sbom audit clean

help:  ## show this
	@echo 'make TARGET [NAME=VALUE ...]'
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target what; do printf '  %-16s %s\n' "$$target" "$$what"; done
	@echo
	@echo '  PYTHON       the Python that .venv is made with, 3.11 or newer (now $(PYTHON))'
	@echo '  PYTEST_ARGS  passed on to pytest, such as -x or -k seams'
	@echo '  BENCH_ARGS   passed on to bench/engine.py, such as "--million 0 --peers PYTHON"; see its --help'
	@echo '  PIXELS_ARGS  passed on to bench/pixels.py, such as "--sizes 4096,8192 --peers PYTHON"; see its --help'
	@echo '  LEAKS_ARGS   passed on to bench/leaks.py, such as "--on ec2 --events killed,quota"; see its --help'
	@echo '  CRASH_ARGS   passed on to the crash test, such as --kills 20, --seed 421 or --damage'
	@echo '  ATTACK_ARGS  passed on to the attack, such as "--kinds specs,stac", --inputs 500 or --seed 7'
	@echo '  ROOM, SAMPLE, SEED, MUTANTS_ARGS  of mutants: a package, how many places (now $(SAMPLE)), which ones; --again, --jobs 4'
	@echo '  IMAGE        the container of clusters, without a tag, such as ghcr.io/acme/swath (now $(IMAGE))'
	@echo '  VARIANT      of the container: cpu or gpu; ON: the cloud of a machine image, aws or gcp'
	@echo '  DOCKER_ARGS, PACKER_ARGS  passed on to docker build and packer build, such as "-var region=us-west-2"'
	@echo '  PIP_ARGS     passed on to pip. On Linux, package indexes usually give torch with CUDA, some GB. For the small'
	@echo '               CPU build: PIP_ARGS="--extra-index-url URL" with the CPU index named at pytorch.org/get-started'

demo: .venv/run.stamp  ## map open water in a real Landsat scene with a small trained model
	@$(BIN)/python demo/fetch.py
	@$(BIN)/pipe run specs/demo.yaml
	@echo 'To look at it: drag out/demo/map.tif and the vectors into QGIS, or open the PNG in any viewer.'

test: .venv/dev.stamp  ## run all tests
	@$(BIN)/pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

check: lint test  ## all that CI asks for: lint, then test

crashtest: .venv/dev.stamp  ## kill real runs 200 times at random moments, resume them, compare what they made
	@$(BIN)/python -m tests.crash.loop $(CRASH_ARGS)

attack: .venv/dev.stamp  ## use 10,000 specs, rasters, models and others with random changes of each kind; none may do harm
	@$(BIN)/python -m tests.attack.loop $(ATTACK_ARGS)

mutants: .venv/mutants.stamp  ## change ROOM=maps (or another package) at SAMPLE places, and see whether its fast tests notice
	@nice -n 10 $(BIN)/python -m tests.mutants.loop $(ROOM) --sample $(SAMPLE) --seed $(SEED) $(MUTANTS_ARGS)

crashtest-clouds: .venv/dev.stamp  ## kill clients of clusters in two simulated clouds 200 times each; no machine may be left
	@$(BIN)/python -m tests.clouds.kills $(CRASH_ARGS)

lint: .venv/dev.stamp  ## ruff, the import layers, mypy strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

schema: .venv/dev.stamp  ## write the JSON Schema that editors use for specs/*.yaml, and the description of the server's API
	@for each in campaign change evaluate load predict train; do $(BIN)/pipe schema $$each > specs/.schema.json && mv specs/.schema.json specs/$$each.schema.json; done
	@$(BIN)/python -m swath.server.openapi > docs/.openapi.json && mv docs/.openapi.json docs/openapi.json

bench: .venv/run.stamp  ## run the benchmarks in bench/
	@$(BIN)/python bench/start.py
	@$(BIN)/python bench/engine.py $(BENCH_ARGS)
	@$(BIN)/python bench/pixels.py $(PIXELS_ARGS)
	@$(BIN)/python bench/chips.py $(CHIPS_ARGS)
	@$(BIN)/python bench/training.py

bench-leaks: .venv/dev.stamp  ## machines left after things went wrong: standard cluster classes beside ours
	@$(BIN)/python bench/leaks.py $(LEAKS_ARGS)

# The tag is the commit, and says where files differ from it; the client's own Python is that of the container.
COMMIT = $(shell git describe --always --dirty --abbrev=12)
TAG = $(IMAGE):$(COMMIT)-$(VARIANT)
CONSTRAINTS = $(shell $(BIN)/python -m swath.cluster.workers.image_manifest --constraints constraints.txt)

image: .venv/run.stamp  ## build the container that clusters run (needs docker); its manifest goes to build/image.json
	docker build --file infra/docker/Dockerfile --tag $(TAG) --build-arg VARIANT=$(VARIANT) \
		--build-arg COMMIT=$(COMMIT) --build-arg CONSTRAINTS=$(CONSTRAINTS) \
		--build-arg PYTHON=$(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
		--build-arg BASE_DIGEST=$(addprefix @,$(shell sed '/^\#/d' infra/docker/base.digest)) $(DOCKER_ARGS) .
	@mkdir -p build
	docker run --rm $(TAG) cat /etc/swath/image.json > build/image.json
	@echo 'Push it, and name it in the specs of clusters (image:): docker push $(TAG)'

machine-image: .venv/run.stamp  ## build a machine image with that container in it (needs packer, and a pushed container)
	@if packer init -help > /dev/null 2>&1; then packer init infra/packer/plugins; fi
	@mkdir -p build
	packer build -only=$(if $(filter gcp,$(ON)),googlecompute,amazon-ebs).swath -var gpu=$(if $(filter gpu,$(VARIANT)),true,false) \
		-var container=$(TAG) -var commit=$(COMMIT) -var constraints=$(CONSTRAINTS) $(PACKER_ARGS) infra/packer

base-digest:  ## look up the digest of the container's base image, and write it to infra/docker/base.digest (needs docker)
	@digest=$$(docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}') && \
		sed -i -e '/^sha256:/d' -e '/^# There is none yet/,$$d' infra/docker/base.digest && echo "$$digest" >> infra/docker/base.digest

lock: .venv/tools.stamp  ## write the locks with SHA-256 of the container's packages and of these tools
	@.venv/tools/bin/python infra/docker/worker_lock.py .venv/tools/bin/uv pyproject.toml constraints.txt > build/worker.lock
	@mv build/worker.lock infra/docker/worker.lock
	@{ head -1 infra/supply/tools.lock; .venv/tools/bin/uv pip compile infra/supply/tools.in --constraint constraints.txt --quiet --generate-hashes \
		--no-header --no-annotate --python-version 3.11; } > build/tools.lock
	@mv build/tools.lock infra/supply/tools.lock

sbom: .venv/tools.stamp  ## write a software bill of materials of the container's packages: build/sbom.json (CycloneDX)
	@.venv/tools/bin/cyclonedx-py requirements infra/docker/worker.lock --pyproject pyproject.toml --output-format JSON \
		--output-reproducible --output-file build/sbom.json

audit: .venv/tools.stamp  ## look for known vulnerabilities of the container's packages; 2: there was no database
	@.venv/tools/bin/python infra/supply/audit.py .venv/tools/bin/pip-audit infra/docker/worker.lock infra/supply/tools.lock

clean:  ## remove .venv, caches, build products and fetched data; runs (.swath/) and maps (out/) stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis data/landsat.tif
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made.stamp:
	@command -v $(PYTHON) > /dev/null || { \
		echo 'swath needs Python 3.11 or newer, and there is no $(PYTHON) here: make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "swath needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1): make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/mutants.stamp: tests/mutants/requirements.txt .venv/dev.stamp
	$(PIP) --requirement tests/mutants/requirements.txt
	@touch $@

.venv/tools.stamp: infra/supply/tools.lock | .venv/made.stamp
	@mkdir -p build
	@$(PYTHON) -m venv --clear .venv/tools
	@.venv/tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement infra/supply/tools.lock
	@touch $@

# What `make demo` needs; and that with what the tests and linters need. The second includes the first.
.venv/run.stamp: pyproject.toml constraints.txt | .venv/made.stamp
	@echo 'installing swath into .venv: a few minutes the first time' >&2
	$(PIP) --editable .
	@$(COMPILE)
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/made.stamp
	@echo 'installing swath and its tools into .venv: a few minutes the first time' >&2
	$(PIP) --editable '.[aws,gcp,onnx,openvino,notify,otel,dev]'
	@# Its resource definitions are what tests compare with; what it needs beside them is the operator's, and much.
	$(PIP) --no-deps dask-kubernetes
	@$(COMPILE)
	@touch .venv/run.stamp $@
