# Everything one does with Tidegate. `make` alone lists it.

CARGO  ?= cargo
BUILT  := $(or $(CARGO_TARGET_DIR),target)
WASM_TARGET := wasm32-unknown-unknown
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
RUN_TESTS := $(CARGO) $(if $(NEXTEST),nextest run --no-tests=pass,test)
# nextest builds the whole workspace once and chooses what to run: built package by package, what all need is
# built again for each set of features.
END_TO_END := package(tidegate-tests) and kind(test)

say = @printf '\n== %s\n' '$(1)'

.DEFAULT_GOAL := help
.PHONY: help build targets demo test test-native test-wasm test-e2e conformance lint deny bench fleet fuzz fuzz-keep clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What a tool shares with the server is built once if both are built together.
demo: TOOL := tidegate-demo
bench: TOOL := tidegate-bench
fleet: TOOL := tidegate-fleet

build: targets ## dist/tidegate, dist/tidegate_filter.wasm and dist/tidegate-demo-app
	$(call say,building the control plane and the demo service (the first time takes minutes))
	$(CARGO) build --release -p tidegate -p tidegate-demo-app $(if $(TOOL),-p tidegate-tests \
	  --bin tidegate --bin tidegate-demo-app --bin $(TOOL))
	$(call say,building the filter)
	$(CARGO) build --profile filter --target $(WASM_TARGET) -p tidegate-filter
	@mkdir -p dist
	@install -m 755 $(BUILT)/release/tidegate $(BUILT)/release/tidegate-demo-app dist/
	@install -m 644 $(BUILT)/$(WASM_TARGET)/filter/tidegate_filter.wasm dist/

targets: ## the WASM target of the pinned toolchain, added if it is missing
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM_TARGET)" || rustup target add $(WASM_TARGET) || { \
	  echo "The Rust target $(WASM_TARGET) is missing and could not be added." >&2; \
	  echo "A way out: install rustup (https://rustup.rs), or your system's package of the standard library" >&2; \
	  echo "for $(WASM_TARGET), for the toolchain named in rust-toolchain.toml." >&2; \
	  exit 1; }

demo: build ## tell the whole story on real Envoys, in three minutes; KEEP=1 leaves it running
	@TIDEGATE_ENVOY="$$(envoy/get-envoy)" && export TIDEGATE_ENVOY && \
	  exec $(BUILT)/release/tidegate-demo $(if $(KEEP),--keep)

test: lint test-native test-wasm test-e2e ## everything that must hold before a merge

test-native: ## unit and property tests
	$(call say,native tests)
ifdef NEXTEST
	$(RUN_TESTS) --workspace -E 'not ($(END_TO_END))'
else
	$(RUN_TESTS) --workspace --exclude tidegate-tests
	$(RUN_TESTS) -p tidegate-tests --lib --bins
endif

test-wasm: targets ## the shared core's tests as WASM, under Node
	$(call say,WASM tests)
	@CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$$(tests/get-wasm-runner)" && \
	  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER && \
	  PATH="$$PATH:$(CURDIR)/.tools/bin" $(CARGO) test -p tidegate-core --target $(WASM_TARGET)

test-e2e: build ## end-to-end tests on real Envoy; ENVOY=1.36.4 chooses its version
	$(call say,end-to-end tests)
	@TIDEGATE_ENVOY="$$(envoy/get-envoy $(if $(ENVOY),--version $(ENVOY)))" && export TIDEGATE_ENVOY && \
	  $(RUN_TESTS) $(if $(NEXTEST),--workspace -E '$(END_TO_END)',-p tidegate-tests --test '*')

conformance: ## the xDS checklist: which test shows each line, or why none does
	@$(CARGO) test --quiet -p tidegate-tests --test conformance -- --nocapture

lint: targets ## formatting, clippy (native and WASM), licenses and sources of dependencies
	$(call say,formatting)
	$(CARGO) fmt --all -- --check
	$(call say,clippy)
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p tidegate-filter --target $(WASM_TARGET) -- -D warnings
	$(call say,dependencies)
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
	else echo "skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"; fi

# The advisory database is fetched first and by itself, so that "no network" cannot pass for "an advisory", nor hide one.
deny: ## what deny.toml demands of dependencies; needs cargo-deny
	$(CARGO) deny check --hide-inclusion-graph --allow duplicate bans licenses sources
	@if $(CARGO) deny fetch db; then $(CARGO) deny check --disable-fetch advisories; \
	else echo "skipped: advisories, because the database could not be fetched"; fi

bench: build ## the numbers of the design, each beside its baseline; and the protocol's model at length
	@TIDEGATE_ENVOY="$$(envoy/get-envoy)" && export TIDEGATE_ENVOY && $(BUILT)/release/tidegate-bench
	$(call say,start-up after a million decisions)
	$(CARGO) bench -p tidegate --bench start_up
	$(call say,random conversations with a model of Envoy: 10 000 each in state of the world and delta)
	PROPTEST_CASES=10000 $(RUN_TESTS) -p tidegate --lib every_conversation

fleet: build ## 9 000 simulated sidecars beside a raw broadcast; writes docs/fleet.md; FLEET='--sidecars 100' changes it
	@exec $(BUILT)/release/tidegate-fleet $(FLEET)

# Coverage comes from a pass that every LLVM has, so the pinned stable toolchain will do. With --target it is not
# applied to build scripts. A finding is left in tests/fuzz/ and named; what was learned stays under target/fuzz/.
FUZZ_HOST     = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_BIN      = target/fuzz/$(FUZZ_HOST)/fuzz/tidegate-fuzz
FUZZ_TARGETS ?= $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_SECONDS ?= 60
FUZZ_FLAGS    = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares

$(FUZZ_BIN): FORCE
	$(call say,building the fuzzer: every parser that faces the network)
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --profile fuzz --target $(FUZZ_HOST) --target-dir target/fuzz \
	  -p tidegate-fuzz --features libfuzzer
FORCE:

fuzz: $(FUZZ_BIN) ## look for input that breaks a parser, FUZZ_SECONDS (60) each; needs a C++ compiler
	@for target in $(FUZZ_TARGETS); do \
	  printf '\n== fuzzing %s for %s s\n' $$target $(FUZZ_SECONDS); mkdir -p target/fuzz/corpus/$$target; \
	  TIDEGATE_FUZZ=$$target $(FUZZ_BIN) target/fuzz/corpus/$$target tests/fuzz/corpus/$$target \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	    -dict=tests/fuzz/words.dict -artifact_prefix=tests/fuzz/$$target- || exit 1; \
	done

# Small inputs only, and one for each branch that is reached: thousands of files would say little more.
fuzz-keep: $(FUZZ_BIN) ## keep what the fuzzer found, as few small files, for `make test` to replay
	@for target in $(FUZZ_TARGETS); do \
	  from=tests/fuzz/corpus/$$target; found=target/fuzz/corpus/$$target; \
	  pool=target/fuzz/pool/$$target; kept=target/fuzz/kept/$$target; \
	  rm -rf $$pool $$kept && mkdir -p $$pool $$kept $$found && \
	  find $$from $$found -type f -size -385c -exec cp -t $$pool {} + && \
	  TIDEGATE_FUZZ=$$target $(FUZZ_BIN) -set_cover_merge=1 -use_counters=0 -use_cmp=0 -verbosity=0 $$kept $$pool && \
	  find $$from -name 'seed-*' -exec cp -t $$kept {} + && \
	  rm -rf $$from && cp -r $$kept $$from || exit 1; \
	done

clean: ## remove everything that was built or fetched
	$(CARGO) clean
	rm -rf dist .tools
