# The whole interface for people who work on Palisade. `make help` lists the habits.
NODE_BIN := node_modules/.bin
export PATH := $(CURDIR)/$(NODE_BIN):$(PATH)

# Test files by kind, named after their sources so that a stale dist/ adds none.
compiled = $(sort $(patsubst %.ts,dist/%.js,$(shell find $(wildcard $(1)) -name '*.test.ts')))
SEEDS_TEST = dist/test/sim/seeds.test.js
QUICK_TESTS = $(filter-out $(SEEDS_TEST), \
  $(call compiled,test/unit test/golden test/model test/contract test/sim))
# These measure stalls and rates: one at a time, with nothing beside them.
MEASURING = changes manager manager-crash mirror robustness shim-paths
ALONE_TESTS = $(MEASURING:%=dist/test/interop/%.test.js) $(call compiled,test/demo test/chaos)
PAIRED_TESTS = $(filter-out $(ALONE_TESTS),$(call compiled,test/interop test/fuzz))
TAP = tap run --disable-coverage $(TAP_FLAGS)

.DEFAULT_GOAL := check
.PHONY: help install deps build generate check lint test test-quick test-interop test-paired \
  test-alone test-sim sim mutations chaos interop conformance fuzz dissect bench demo up clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	tap build
	@touch $@

install: node_modules/.package-lock.json ## install the pinned packages

deps: ## install the programs that the tests talk to (Debian, as root), or name them
	.ci/deps

build: install ## compile to dist/
	tsc -p tsconfig.json

generate: install ## regenerate src/control/generated from the .proto files
	{ echo '/** Generated from src/control/proto by `make generate`. */'; \
	  printf 'export const descriptor = '; pbjs -t json src/control/proto/*.proto; } \
	  > src/control/generated/descriptor.ts

check: build lint ## types, format, lint, arrows, dead code

lint: install
	biome check .
	depcruise --config .dependency-cruiser.cjs --output-type json src targets initiator-shim \
	  | node .ci/arrows-saw-modules.cjs
	knip

test: test-quick test-sim test-interop ## all tests (installs what they need, see deps)

test-quick: build ## unit, golden, model and contract tests: no other program is needed
	$(TAP) --jobs=2 --timeout=180 $(QUICK_TESTS)

test-interop: test-paired test-alone

test-paired: build deps
	$(TAP) --jobs=2 --timeout=600 $(PAIRED_TESTS)

test-alone: build deps
	$(TAP) --jobs=1 --timeout=600 $(ALONE_TESTS)

test-sim: build ## the simulator, as `make sim` runs it: no violation in 2,000 seeds
	$(TAP) --jobs=1 --timeout=1800 $(SEEDS_TEST)

SEED = 1
SEEDS = 2000
sim: build ## simulate whole clusters under faults, one a seed (SEED=1 SEEDS=2000 ARGS='--trace --single')
	node dist/test/sim/main-sim.js --seed $(SEED) --seeds $(SEEDS) --jobs all $(ARGS)

mutations: build ## take guards out of copies of the program; the simulator must notice (ARGS='--only term')
	node dist/test/sim/main-mutations.js $(ARGS)

chaos: build deps ## kill, stop, cut off what serves a mirror (ARGS='--rounds 200 --gateways-only' or '--power-losses 100')
	node dist/test/chaos/main-chaos.js $(ARGS)

interop: test-interop ## real initiators, crashes, cut paths; against real processes

conformance: build deps ## libiscsi's suite, all runs, beside tgt (ARGS='--suite X --only standalone --run normal')
	node dist/test/conformance/main-conformance.js $(ARGS)

fuzz: build ## hostile initiators by chance: ARGS='--seconds N --seed S', or --case JSON
	node dist/test/fuzz/main-fuzz.js $(ARGS)

dissect: build deps ## interop tests with every packet given to tshark (ARGS='changes up'); slow
	node dist/test/dissect/main-dissect.js $(ARGS)

bench: build deps ## against tgt, side by side; a volume through the shim for information
	node dist/bench/with-shim.js $(ARGS)

demo: build deps ## a cluster, a file system, a crash: in under two minutes
	node dist/test/demo/main-demo.js

up: build ## serve a cluster on this machine, state in ./palisade-data (ARGS='--servers 5')
	node dist/src/cli/main.js up $(ARGS)

clean: ## remove what was built
	rm -rf dist dist-* .tap
