# The two commands of the README are `make demo` and `make test`; both set up everything they need.
#
#   PYTHON=...       the interpreter to build the virtual environment with (3.11 or newer)
#   TORCH_INDEX=...  a package index that offers the CPU build of torch, where the default one offers a larger build
#   VENV=...         where the virtual environment goes
#   JOBS=...         in how many processes `make test` runs
#   DEBIAN_MIRROR=...  an archive of Debian's, for machines that have neither vsock loopback nor user-mode-linux

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),$(shell command -v python3.13),python3)
VENV ?= .venv
TORCH_INDEX ?=
JOBS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
BUILT_FROM := pyproject.toml hatch_build.py $(wildcard enclave_worker/native/*.cpp enclave_worker/native/*.h)

export DEBIAN_MIRROR

.DEFAULT_GOAL := help
.PHONY: help demo test vsock-test million eif eif-check enclave-vm eif-opinion chaos soak attack fuzz bench-engine demo-nightly nights bench-nightly roles-check plan-check compose-test avx512 lint format docs-reference docs-test screenshots alerts-test release release-check hooks clean

# What `make help` shows, in this order; targets of no group come last.
HELP_GROUPS := Try it: demo demo-nightly; \
  Change it: lint test format hooks docs-reference docs-test clean help; \
  Publish it: release release-check eif eif-check enclave-vm eif-opinion roles-check compose-test screenshots; \
  Torment it: attack fuzz chaos soak nights vsock-test alerts-test avx512; \
  Measure it: bench-engine bench-nightly million plan-check

help: ## Say what can be made
	@awk -v groups='$(HELP_GROUPS)' -f docs/tools/make_help.awk $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.demo ## Seal, answer and open the example questions on this machine
	@$(BIN)/sealbatch dev demo

demo-nightly: $(VENV)/.demo ## Show a night: files in the inbox, answers and a report in the morning
	@$(BIN)/sealbatch dev demo-nightly

test: $(VENV)/.test ## Run every test, in two processes that each take whole files (JOBS=1: in one)
	@$(BIN)/python -m pytest tests $(if $(filter-out 1,$(JOBS)),--numprocesses $(JOBS) --dist loadfile)

eif: $(VENV)/.demo ## Build the enclave image, build/sealbatch.eif, from pinned inputs (Debian 12, x86-64)
	@$(BIN)/sealbatch image fetch --inputs build/inputs $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	@$(BIN)/sealbatch image build --inputs build/inputs -o build/sealbatch.eif $(if $(KERNEL),--kernel $(KERNEL))

eif-check: eif ## Build the enclave image once more, elsewhere, and compare the two bit for bit
	@$(BIN)/sealbatch image build --inputs build/inputs -o build/again/elsewhere/sealbatch.eif $(if $(KERNEL),--kernel $(KERNEL))
	@cmp build/sealbatch.eif build/again/elsewhere/sealbatch.eif && echo "bit for bit the same"

# An image that admits the clock of a machine without KVM.
define EMULATED_IMAGE
@$(BIN)/sealbatch image fetch --inputs build/inputs $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
@$(BIN)/sealbatch image build --inputs build/inputs -o build/enclave-vm.eif --emulated
endef

enclave-vm: $(VENV)/.demo ## Boot our image in QEMU with /dev/nsm and vsock, answer QUESTIONS=20; a changed one gets no key
	$(EMULATED_IMAGE)
	@$(BIN)/python -m devstack.machines.enclave_vm build/enclave-vm.eif $(if $(QUESTIONS),--questions $(QUESTIONS))

eif-opinion: $(VENV)/.demo ## Have the nitro-enclave machine of QEMU=PROGRAM measure our image as well
	$(EMULATED_IMAGE)
	@$(BIN)/python -m devstack.machines.second_opinion build/enclave-vm.eif $(if $(QEMU),--qemu $(QEMU))

release: $(VENV)/.release ## Make what a release consists of from the commit, in build/release (KERNEL=DIR, KEY=PEM)
	@$(BIN)/sealbatch image fetch --inputs build/inputs $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	@$(BIN)/python -m releasing.build build/release $(if $(KERNEL),--kernel $(KERNEL)) $(if $(KEY),--key $(KEY))

release-check: release ## Make the release once more, elsewhere, and compare the two bit for bit
	@$(BIN)/python -m releasing.build build/again/elsewhere/release --compare build/release $(if $(KERNEL),--kernel $(KERNEL)) $(if $(KEY),--key $(KEY))

chaos: $(VENV)/.test ## Kill, halt and fault real processes for SECONDS=120 by SEED=, every PAUSE=4 s; compare every answer
	@PYTHONPATH=tests/helpers:tests:. $(BIN)/python -m chaos --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(if $(PAUSE),--pause $(PAUSE))

vsock-test: $(VENV)/.test ## Run bridge and enclave over real AF_VSOCK, in a kernel that is a process if need be
	@$(BIN)/python -m pytest -q -s tests/integration/test_real_vsock.py

soak: $(VENV)/.test ## Carry RECORDS=100000 through the real processes; their memory and speed, beside the stand-in's own
	@PYTHONPATH=tests/helpers:tests:. $(BIN)/python -m soak $(if $(RECORDS),--records $(RECORDS))

nights: $(VENV)/.test ## Run two hundred nights in simulated time with everything going wrong (SEALBATCH_SEED=N)
	@SEALBATCH_NIGHTS=200 $(BIN)/python -m pytest -q -s tests/integration/test_nightly_seeded.py

million: $(VENV)/.test ## Measure the producer's memory with a million lines
	@SEALBATCH_LINES=1000000 $(BIN)/python -m pytest -q -s tests/integration/test_producer_memory.py

bench-nightly: $(VENV)/.demo ## Measure how fast WORKERS="1 2 4" processes seal a file of LINES=100000
	@$(BIN)/python -m devstack.nightly_bench --lines $(or $(LINES),100000) --workers $(or $(WORKERS),1 2 4)

compose-test: ## Build compose.yaml and answer questions through it (docker compose, or podman and podman-compose)
	@$(PYTHON) tests/compose/run.py

roles-check: ## Install each role (or ROLES="asker enclave") into a new environment, use it, and say what it took
	@$(PYTHON) tests/roles_check.py $(ROLES) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

alerts-test: ## Run the alert rules' own tests in promtool (Debian's package prometheus)
	@command -v promtool >/dev/null || { echo "promtool is missing: apt-get install prometheus"; exit 1; }
	@cd deploy/monitoring && promtool check rules alerts.yaml && promtool test rules alerts_test.yaml

plan-check: $(VENV)/.demo ## Compare what `sealbatch plan` foresees with the real pipeline on this machine
	@$(BIN)/python -m devstack.plan_check $(RECORDS)

attack: $(VENV)/.test ## Play the malicious parent: every attack, and by what each was caught
	@SEALBATCH_ORACLE=$(or $(ORACLE),100000) $(BIN)/python tests/attacks/run.py

fuzz: $(VENV)/.fuzz ## Feed every parser RUNS=200000 hostile inputs, guided by coverage
	@$(BIN)/python tests/fuzz/run.py --runs $(or $(RUNS),200000)

lint: $(VENV)/.lint ## Check style, types and the boundaries between the packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/cfn-lint deploy/template.yaml

bench-engine: $(VENV)/.bench ## Measure the engine's speed beside its peers' (20 minutes, after installing them)
	@TORCH_INDEX=$(TORCH_INDEX) $(BIN)/sealbatch bench engine

avx512: ## Compare the engine's AVX-512 code, emulated, with its AVX2 code (needs g++ and Debian's libsimde-dev)
	@echo '#include <simde/x86/avx512.h>' | g++ -E -x c++ - >/dev/null 2>&1 || { echo "libsimde-dev is missing"; exit 1; }
	@mkdir -p build && g++ -std=c++20 -O1 -w -mavx2 -mfma -ffp-contract=off -DSEALBATCH_EMULATE_AVX512 -Ienclave_worker/native \
	  tests/native/avx512_check.cpp enclave_worker/native/tiles_avx2.cpp enclave_worker/native/tiles_avx512.cpp -o build/avx512_check
	@build/avx512_check

format: $(VENV)/.lint ## Lay out the code
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

docs-reference: $(VENV)/.demo ## Write the pages and pictures that are made from the code
	@$(BIN)/python docs/tools/reference.py

screenshots: $(VENV)/.test ## Record the terminal of the README, and take the other pictures, from real runs (PICTURES="session night", or "drawn" from what is kept)
	@$(BIN)/python docs/tools/screenshots.py $(PICTURES)

docs-test: $(VENV)/.test ## Type what the documents say on this machine, and compare what they show (PAGES=docs/... for some)
	@$(BIN)/python docs/tools/runner.py $(PAGES)

hooks: $(VENV)/.lint ## Have git run the quick checks before each commit, with the tools of .venv
	@$(PIP) --constraint constraints.txt --editable '.[hooks]'
	@$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) build dist enclave_worker/native/*.so .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

TORCH := --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
WITH_GPU := import json, sys; sys.exit("nvidia" not in str(json.load(sys.stdin)["install"][0]["metadata"]["requires_dist"]))
TELL_GPU := "  Your index has torch for GPUs only: 2.7 GB with its libraries, where 0.2 do." \
  "  To take the CPU build, press Ctrl-C and name the index that pytorch.org shows" \
  "  for Linux, pip and CPU: make demo TORCH_INDEX=URL"

# torch comes first and alone, so that an index named for it serves nothing else. A pip of today takes half the time of
# the one that comes with Debian 12. Nothing is compiled ahead of time: of torch's thousands of files, a tenth is used.
$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sealbatch needs Python 3.11 or newer; name one with make PYTHON=...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); }
	@$(PIP) --constraint constraints.txt pip hatchling editables
	@echo "Installing torch (the longest step of the first run)"
	@$(PIP) --dry-run --ignore-installed --report - $(TORCH) 2>/dev/null | $(BIN)/python -c '$(WITH_GPU)' 2>/dev/null \
	  && printf '%s\n' $(TELL_GPU) || true
	@$(subst --quiet,,$(PIP)) $(TORCH)
	@touch $@

# Each takes what the ones before it have too: whoever begins with `make lint` or `make test` installs once.
# The engine's compiled part is built by the installation.
$(VENV)/.demo: $(VENV)/.torch $(BUILT_FROM)
	@echo "Installing sealbatch"
	@$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch $(BUILT_FROM)
	@echo "Installing sealbatch and the tests' tools"
	@$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[test]'
	@touch $(VENV)/.demo $@

$(VENV)/.lint: $(VENV)/.torch $(BUILT_FROM)
	@echo "Installing sealbatch, the tests' tools and the linters"
	@$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[test,lint]'
	@touch $(VENV)/.demo $(VENV)/.test $@

$(VENV)/.bench: $(VENV)/.torch $(BUILT_FROM)
	@$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[bench]'
	@touch $(VENV)/.demo $@

$(VENV)/.release: $(VENV)/.torch $(BUILT_FROM)
	@$(PIP) --constraint constraints.txt --editable '.[dev,parquet,serve,release]'
	@touch $(VENV)/.demo $@

$(VENV)/.fuzz: $(VENV)/.torch $(BUILT_FROM)
	@$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[fuzz]'
	@touch $(VENV)/.demo $(VENV)/.test $@
