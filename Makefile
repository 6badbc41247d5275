# The whole interface for people who work on Palisade. `make help` lists the habits.
NODE_BIN := node_modules/.bin
export PATH := $(CURDIR)/$(NODE_BIN):$(PATH)

.DEFAULT_GOAL := check
.PHONY: help install build generate check lint test up clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

install: node_modules/.package-lock.json ## install the pinned packages

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

test: build ## all tests
	tap run --disable-coverage 'dist/test/**/*.test.js'

up: build ## serve a cluster on this machine, state in ./palisade-data
	node dist/src/cli/main.js up

clean: ## remove what was built
	rm -rf dist dist-* .tap
