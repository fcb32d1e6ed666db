# Each target is what one would type; `make demo` and `make test` need nothing but Python 3.11 and make.
PYTHON ?= python3
VENV   := .venv
MINUTES ?= 5
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: install demo test fuzz kill servers check model diagrams bench bench-fleet bench-switch bench-index soak properties dashboards preview lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo          one BU and four filter units switch between HLT and cloud before your eyes'
	@echo 'make test          all checks and tests'
	@echo 'make kill          the switcher dies, and the power is cut, at every point of its journeys: about ten minutes'
	@echo 'make servers       fetches the servers that some tests need; without them they are left out'
	@echo 'make fuzz          readers and entrances with random input for MINUTES=5'
	@echo 'make check         format, lint, types, import rules'
	@echo 'make model         the proof of the machine, one disturbance further than in CI: some minutes, 1 GiB'
	@echo 'make diagrams      writes the table and diagram of transitions in docs/architecture.md anew'
	@echo 'make bench         everything that is promised of the collector, measured: takes about two hours and a half'
	@echo 'make bench-fleet   the fleet tool against 1500 simulated nodes: its truth, speed and cost; about half an hour'
	@echo 'make bench-index   bytes of a document in the index, beside default mapping'
	@echo 'make bench-switch  how fast and how frugal the switcher is, beside its promises'
	@echo 'make soak          a thousand journeys in one daemon while the world misbehaves: takes about half an hour'
	@echo 'make properties    random stories of a node, many more and longer ones than in make test'
	@echo 'make dashboards    writes dashboards, rules and provisioning anew from code'
	@echo 'make preview       pages and pictures of the dashboards over a simulated farm, in preview/'
	@echo 'make install       the environment in $(VENV), with $(BIN)/hltmode'

install: $(READY)

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer wanted: make PYTHON=/path/to/python3")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt requirements-uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
	$(BIN)/hltmode demo

test: check
	$(BIN)/python -m pytest -n auto

kill: $(READY)
	$(BIN)/python -m pytest -n auto -rP --every-point tests/integration/test_switcher_kill_points.py tests/integration/test_switcher_power_cut.py

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(MINUTES)

servers: $(READY)
	$(BIN)/python -m tests.servers.fetch

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

model: $(READY)
	$(BIN)/python -m tests.model prove --bound 5

diagrams: $(READY)
	$(BIN)/python -m tests.model diagrams --write

bench: $(READY)
	$(BIN)/python -m benchmarks.everything --write docs/benchmarks.md

bench-fleet: $(READY)
	$(BIN)/python -m benchmarks.fleet

bench-index: $(READY)
	$(BIN)/python -m benchmarks.index_size

bench-switch: $(READY)
	$(BIN)/python -m benchmarks.switch

soak: $(READY)
	$(BIN)/python -m benchmarks.soak --journeys 1000

properties: $(READY)
	$(BIN)/python -m pytest tests/properties --hypothesis-profile=long --timeout=0

dashboards: $(READY)
	$(BIN)/python -m dashboards write

preview: $(READY)
	$(BIN)/python -m tests.grafana.preview

lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --group dev pyproject.toml -o requirements.txt
	echo uv | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade - -o requirements-uv.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
