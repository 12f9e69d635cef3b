# Penstock. `make demo` shows it, `make test` proves it. Everything they need they fetch themselves, from package registries.
# Builds live outside the work tree, so that a second clone is fast.

export PENSTOCK_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/penstock
export CARGO_TARGET_DIR ?= $(PENSTOCK_CACHE)/target
export CARGO_TERM_COLOR ?= auto

CARGO := cargo
LAB := $(CARGO_TARGET_DIR)/release/lab
# A lab of the tests' own, beside one that a person may have up.
TEST_LAB := $(PENSTOCK_CACHE)/lab-test
BENCH_LAB := $(PENSTOCK_CACHE)/lab-bench
# One profile for everything: librdkafka and OpenSSL are five minutes of C, compiled once.
PROFILE := --release --locked
# What needs no cluster. Packages are not left out, for then cargo builds the others' dependencies again, with fewer features.
CLUSTERLESS := --lib --bins $(addprefix --test ,contract crates drift examples freed mock_cluster sources spans traps)

.PHONY: help claim demo test format lint unit schedules soak bench chaos generate lab lab-down deny

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# Clones share the folder, and cargo goes by time alone: what another clone has built later than this one was edited counts as fresh.
claim:
	@mkdir -p $(CARGO_TARGET_DIR)
	@test "$$(cat $(CARGO_TARGET_DIR)/clone 2>/dev/null)" = "$(CURDIR)" || find . -name '*.rs' -exec touch {} +
	@echo "$(CURDIR)" >$(CARGO_TARGET_DIR)/clone

demo: claim ## Run the main job for real: a cluster, a broker, 336,776 flights (first run about 25 min of building, then under 4 min)
	@echo "make demo: building Penstock and the lab (cold about 20 min on two cores, warm seconds)"
	$(CARGO) build $(PROFILE) --workspace --bins
	$(CARGO_TARGET_DIR)/release/demo

test: format lint ## Pass every test: format, lints, unit, property, API server, end to end
	@echo "make test: every test, on a real cluster and a real Kafka too (cold about 25 min, most of it Kubernetes and C; warm about 10)"
	$(CARGO) build $(PROFILE) --workspace --bins
	LAB_DIR=$(TEST_LAB) $(CARGO) test $(PROFILE) --workspace --no-fail-fast; status=$$?; LAB_DIR=$(TEST_LAB) $(LAB) down >/dev/null; LAB_DIR=$(TEST_LAB)-chaos-1 $(LAB) down >/dev/null 2>&1; exit $$status

format:
	$(CARGO) fmt --all --check

lint: claim
	@echo "make test: lints (cold about 8 min, most of it C for Kafka; warm seconds)"
	$(CARGO) clippy $(PROFILE) --workspace --all-targets -- -D warnings

unit: claim ## Only what needs no cluster: unit and property tests, golden files, drift checks
	$(CARGO) test $(PROFILE) --workspace $(CLUSTERLESS)

schedules: claim ## A million random schedules of the engine against its naive model (make test does a hundred thousand)
	PENSTOCK_SCHEDULES=$(or $(SCHEDULES),1000000) $(CARGO) test $(PROFILE) --workspace --lib the_invariants_hold_in_every_schedule

soak: claim ## An idle pipeline, watched for five minutes: it must cost no API write
	$(CARGO) build $(PROFILE) --workspace --bins
	LAB_DIR=$(TEST_LAB) PENSTOCK_QUIET_MINUTES=5 $(CARGO) test $(PROFILE) --workspace --test e2e quiet; status=$$?; LAB_DIR=$(TEST_LAB) $(LAB) down >/dev/null; exit $$status

bench: claim ## The worker beside a raw librdkafka loop, Spring Kafka and Confluent Parallel Consumer, on the lab's Kafka (about an hour)
	$(CARGO) build $(PROFILE) --workspace --bins
	cd tests/bench/rivals/spring && mvn -q -B package dependency:copy-dependencies -DincludeScope=runtime
	cd tests/bench/rivals/parallel-consumer && mvn -q -B package dependency:copy-dependencies -DincludeScope=runtime
	LAB_DIR=$(BENCH_LAB) $(LAB) up --brokers-only
	LAB_DIR=$(BENCH_LAB) $(LAB) run -- $(CARGO_TARGET_DIR)/release/bench $(BENCH); status=$$?; LAB_DIR=$(BENCH_LAB) $(LAB) down; exit $$status

chaos: claim ## Real workers on a real Kafka under faults drawn from a seed, each round judged: make chaos SEED=n ROUNDS=n, or CHAOS="--help"
	$(CARGO) build $(PROFILE) --workspace --bins
	$(CARGO_TARGET_DIR)/release/chaos $(or $(CHAOS),--seed $(or $(SEED),1) --rounds $(or $(ROUNDS),20))

generate: claim ## Write the generated files again: CRD, chart, reference tables, golden files
	PENSTOCK_GENERATE=1 $(CARGO) test $(PROFILE) --workspace $(CLUSTERLESS)

lab: claim ## Bring the lab up and leave it up (make lab-down ends it)
	$(CARGO) build $(PROFILE) -p penstock-lab
	$(LAB) up

lab-down: ## Take the lab down
	$(LAB) down

deny: ## Licences and advisories (needs cargo-deny)
	$(CARGO) deny check
