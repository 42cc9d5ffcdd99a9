# All commands of Tidegate. `make` alone lists them.

CARGO  ?= cargo
BUILT  := $(or $(CARGO_TARGET_DIR),target)
WASM_TARGET := wasm32-unknown-unknown
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
RUN_TESTS := $(CARGO) $(if $(NEXTEST),nextest run --no-tests=pass,test)
# nextest builds the whole workspace and filters what runs: a build of single packages resolves other features and
# compiles shared dependencies again for each set.
END_TO_END := package(tidegate-tests) and kind(test)
NATIVE     := $(RUN_TESTS) --workspace $(if $(NEXTEST),-E 'not ($(END_TO_END))',--exclude tidegate-tests)

say = @printf '\n== %s\n' '$(1)'
# A target of the toolchain, added if it is missing.
target = @test -d "$$(rustc --print sysroot)/lib/rustlib/$(1)" || rustup target add $(1) || { \
  echo "The Rust target $(1) is missing and could not be added. Install rustup (https://rustup.rs), or your" >&2; \
  echo "system's package of the standard library for $(1), for the toolchain of rust-toolchain.toml." >&2; \
  exit 1; }

.DEFAULT_GOAL := help
.PHONY: help build filter target-filter demo check test test-native test-wasm test-e2e test-containers test-matrix test-envoys \
  test-dates test-istio test-compose test-dist dist conformance lint format clippy clippy-filter deny bench fleet fuzz fuzz-keep \
  clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Built in one command with the server, a tool shares the compiled dependencies.
demo: TOOL := tidegate-demo
bench: TOOL := tidegate-bench
fleet: TOOL := tidegate-fleet

build: filter ## release build: dist/tidegate, dist/tidegate-demo-app and dist/tidegate_filter.wasm
	$(call say,building the control plane and the demo service (the first build takes minutes))
	$(CARGO) build --release -p tidegate -p tidegate-demo-app $(if $(TOOL),-p tidegate-tests \
	  --bin tidegate --bin tidegate-demo-app --bin $(TOOL))
	@install -m 755 $(BUILT)/release/tidegate $(BUILT)/release/tidegate-demo-app dist/

filter: target-filter ## release build of the filter: dist/tidegate_filter.wasm
	$(call say,building the filter)
	$(CARGO) build --profile filter --target $(WASM_TARGET) -p tidegate-filter
	@mkdir -p dist
	@install -m 644 $(BUILT)/$(WASM_TARGET)/filter/tidegate_filter.wasm dist/

target-filter:
	$(call target,$(WASM_TARGET))

dist: filter ## release packages in dist/release: static binaries, Debian package, SBOM, checksums; needs musl-gcc
	$(call target,$(shell uname -m)-unknown-linux-musl)
	xds-server/packaging/build

test-dist: ## installs, verifies and removes the Debian package of `make dist` in a Debian root; needs root and debootstrap
	@tests/package

demo: build ## the main use cases on real Envoys, about three minutes; KEEP=1 leaves everything running
	@TIDEGATE_ENVOY="$$(envoy/get-envoy)" && export TIDEGATE_ENVOY && \
	  exec $(BUILT)/release/tidegate-demo $(if $(KEEP),--keep)

check: ## the development loop: formatting, clippy, unit, property and model tests; no Envoy, no release build
	@+MAKE='$(MAKE)' tests/tiers format clippy test-native

test: ## everything that must pass before a merge; ends with the time of each tier
	@+MAKE='$(MAKE)' tests/tiers lint test-native test-wasm test-e2e test-containers

test-native: ## unit, property and model tests
	$(call say,native tests)
	$(NATIVE)
ifndef NEXTEST
	$(RUN_TESTS) -p tidegate-tests --lib --bins
endif

test-wasm: target-filter ## the golden vectors of the shared core as WASM, in Node
	$(call say,WASM tests)
	@CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$$(tests/get-wasm-runner)" && \
	  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER && \
	  PATH="$$PATH:$(CURDIR)/.tools/bin" $(CARGO) test -p tidegate-core --target $(WASM_TARGET)

# The server of the development profile: the test build contains it already, and it checks for overflow.
test-e2e: filter ## end-to-end tests on real Envoys; ENVOY=1.39.3 sets the version of those that take any
	$(call say,end-to-end tests)
ifndef NEXTEST
	$(CARGO) build -p tidegate
endif
	@TIDEGATE_BIN="$(abspath $(BUILT))/debug/tidegate" && export TIDEGATE_BIN && \
	  TIDEGATE_ENVOY="$$(envoy/get-envoy $(if $(ENVOY),--version $(ENVOY)))" && export TIDEGATE_ENVOY && \
	  $(RUN_TESTS) $(if $(NEXTEST),--workspace --test-threads 3 -E '$(END_TO_END)',-p tidegate-tests --test '*')

# With the features of the test build, which has compiled the dependencies and the server.
test-containers: filter ## the demo in containers, on images of the development builds; skipped without a Docker engine
	$(call say,the demo in containers)
	@$(CARGO) build --workspace --tests --bin tidegate-demo-app
	@tests/compose --binaries --short

test-istio: filter ## the stories in an Istio mesh, with the seconds of their steps and the table of forged headers
	$(call say,stories in an Istio mesh)
ifndef NEXTEST
	$(CARGO) build -p tidegate
endif
	@TIDEGATE_BIN="$(abspath $(BUILT))/debug/tidegate" && export TIDEGATE_BIN && \
	  TIDEGATE_ENVOY="$$(envoy/get-envoy $(if $(ENVOY),--version $(ENVOY)))" && export TIDEGATE_ENVOY && \
	  $(RUN_TESTS) $(if $(NEXTEST),--workspace --no-capture -E '$(END_TO_END) and binary(istio)',\
	    -p tidegate-tests --test istio -- --nocapture --test-threads 1)

test-matrix: ## not part of `make test`: every supported Envoy in both xDS variants, and dates that freeze deployments
	@+MAKE='$(MAKE)' tests/tiers test-envoys test-native test-dates

# The release build of the server, unlike in test-e2e.
test-envoys: build ## every story on each supported Envoy, state of the world and delta
	$(call say,end-to-end tests on every supported Envoy)
	@TIDEGATE_BIN="$(CURDIR)/dist/tidegate" && export TIDEGATE_BIN && \
	  TIDEGATE_ENVOY="$$(envoy/get-envoy)" && export TIDEGATE_ENVOY && \
	  $(if $(NEXTEST),$(RUN_TESTS) --workspace --run-ignored all \
	    -E '$(END_TO_END) and (binary(e2e) or binary(steady) or binary(xds_envoy))',\
	    $(RUN_TESTS) -p tidegate-tests --test e2e --test steady --test xds_envoy -- --include-ignored)

test-dates: ## the native tests at a weekend, at the end of the year, and around 29 February and daylight saving time
	$(call say,native tests on other dates)
	@tests/on-dates $(NATIVE)

test-compose: ## the demo in containers, built by compose/Dockerfile; kills containers and cuts a network; needs Docker
	$(call say,the demo in containers)
	@tests/compose

conformance: ## the xDS checklist: the test that shows each line, or why there is none
	@$(CARGO) test --quiet -p tidegate-tests --test conformance -- --nocapture

lint: format clippy clippy-filter ## formatting, clippy (native and WASM), licenses and sources of dependencies
	$(call say,dependencies)
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
	else echo "skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"; fi

format:
	$(call say,formatting)
	$(CARGO) fmt --all -- --check

clippy:
	$(call say,clippy)
	$(CARGO) clippy --workspace --all-targets -- -D warnings

clippy-filter: target-filter
	$(CARGO) clippy -p tidegate-filter --target $(WASM_TARGET) -- -D warnings

# The advisory database is fetched in a step of its own, so that a missing network is not reported as an advisory.
deny: ## licenses, sources and advisories of dependencies, as in deny.toml; needs cargo-deny
	$(CARGO) deny check --hide-inclusion-graph --allow duplicate bans licenses sources
	@if $(CARGO) deny fetch db; then $(CARGO) deny check --disable-fetch advisories; \
	else echo "skipped: advisories, because the database could not be fetched"; fi

bench: build ## the design's figures beside their baselines, and 10 000 random exchanges of the protocol model
	@TIDEGATE_ENVOY="$$(envoy/get-envoy)" && export TIDEGATE_ENVOY && $(BUILT)/release/tidegate-bench
	$(call say,start-up after a million decisions)
	$(CARGO) bench -p tidegate --bench start_up
	$(CARGO) bench -p tidegate-delivery --bench judge
	$(CARGO) bench -p tidegate-core --bench request
	$(call say,random exchanges with a model of Envoy: 10 000 each in state of the world and delta)
	PROPTEST_CASES=10000 $(RUN_TESTS) -p tidegate-xds --lib every_exchange_converges
	$(call say,simulations of the control plane and its sidecars: SIMULATIONS (1 000) seeds)
	TIDEGATE_SIMULATIONS=$(or $(SIMULATIONS),1000) $(RUN_TESTS) --release -p tidegate --test simulation

fleet: build ## 9 000 simulated sidecars beside a raw broadcast; writes docs/fleet.md; FLEET='--sidecars 100' changes it
	@exec $(BUILT)/release/tidegate-fleet $(FLEET)

# Coverage comes from a pass of LLVM itself, so that the pinned stable toolchain suffices. With --target, build scripts are
# not instrumented. A failing input is written to tests/fuzz/; the generated corpus stays in target/fuzz/.
FUZZ_HOST     = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_BIN      = target/fuzz/$(FUZZ_HOST)/fuzz/tidegate-fuzz
FUZZ_TARGETS ?= $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_SECONDS ?= 60
FUZZ_FLAGS    = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares

$(FUZZ_BIN): FORCE
	$(call say,building the fuzzer)
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --profile fuzz --target $(FUZZ_HOST) --target-dir target/fuzz \
	  -p tidegate-fuzz --features libfuzzer
FORCE:

fuzz: $(FUZZ_BIN) ## fuzz every parser of network input, FUZZ_SECONDS (60) each; needs a C++ compiler
	@for target in $(FUZZ_TARGETS); do \
	  printf '\n== fuzzing %s for %s s\n' $$target $(FUZZ_SECONDS); mkdir -p target/fuzz/corpus/$$target; \
	  TIDEGATE_FUZZ=$$target $(FUZZ_BIN) target/fuzz/corpus/$$target tests/fuzz/corpus/$$target \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	    -dict=tests/fuzz/words.dict -artifact_prefix=tests/fuzz/$$target- || exit 1; \
	done

# Small inputs only, and one for each branch that is reached, to keep the corpus small.
fuzz-keep: $(FUZZ_BIN) ## reduce the generated corpus to few small files in tests/fuzz/corpus, which `make test` replays
	@for target in $(FUZZ_TARGETS); do \
	  from=tests/fuzz/corpus/$$target; found=target/fuzz/corpus/$$target; \
	  pool=target/fuzz/pool/$$target; kept=target/fuzz/kept/$$target; \
	  rm -rf $$pool $$kept && mkdir -p $$pool $$kept $$found && \
	  find $$from $$found -type f -size -385c -exec cp -t $$pool {} + && \
	  TIDEGATE_FUZZ=$$target $(FUZZ_BIN) -set_cover_merge=1 -use_counters=0 -use_cmp=0 -verbosity=0 $$kept $$pool && \
	  find $$from -name 'seed-*' -exec cp -t $$kept {} + && \
	  rm -rf $$from && cp -r $$kept $$from || exit 1; \
	done

clean: ## remove all that was built or fetched
	$(CARGO) clean
	rm -rf dist .tools
