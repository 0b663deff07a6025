# Everything here works on a fresh Debian machine with Rust: each target first installs what it lacks.
.PHONY: help deps deps-check demo test check ci bench bench-transfer bench-tracker bench-net bench-player bench-sim notebook sim-night build clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed 's/:[^#]*## */\t/' | expand -t 18

deps:            ## install the system packages needed to build (says which)
	@scripts/install-deps.sh build

deps-check: deps ## and the tools of `make check`
	@scripts/install-deps.sh check

demo: deps       ## music through peers on this machine, offline, in one command
	cargo build --locked --release --package antiphon
	target/release/antiphon demo $(DEMO)

test: deps       ## every test, plain cargo test
	cargo test --locked --workspace --quiet

check: deps-check ## format, lints, docs, arrows and sizes, licenses
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	# The benchmarks have a workspace of their own, with the engines they compare with.
	cd bench && cargo clippy --locked --all-targets --quiet --target-dir target -- -D warnings
	cargo xtask tidy
	# Licenses are read from the sources of every target's crates, which a build does not fetch.
	cargo fetch --locked --quiet
	cargo deny --locked --offline check --hide-inclusion-graph bans licenses sources

ci: check test   ## what the CI runs

build: deps      ## the one binary, optimized
	cargo build --locked --release --package antiphon

bench: bench-transfer bench-net bench-tracker bench-player bench-sim ## all benchmarks; tables and target/report/*.json

bench-transfer: build ## node to node beside raw quinn, raw libp2p and iroh-blobs; verify and decrypt
	scripts/bench.sh transfer

bench-net: build ## first bytes at 40 ms round trip
	scripts/bench.sh net

bench-tracker: build ## open track and announce per second and core
	scripts/bench.sh tracker

bench-player: build ## ingest as a multiple of real time, memory idle and playing
	scripts/bench.sh player

bench-sim: build ## the simulator's rows: event queue, 100,000 and 1,000,000 users, first report, packets, allocators
	target/release/antiphon sim bench --rows 1,2,3,4,5,6,7 --out target/report/sim.json

notebook: build  ## run docs/notebooks/run.ipynb against a fresh run
	scripts/notebook.sh

sim-night: build ## 100,000 fault schedules in the packet harness, or until stopped
	target/release/antiphon sim fuzz --schedules 100000 --jobs $(shell nproc) --failures 100

clean:           ## remove what was built
	cargo clean
