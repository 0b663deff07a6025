#!/usr/bin/env bash
# Installs what a build lacks, and says what. Usage: install-deps.sh build|check
set -euo pipefail

say() { printf 'deps: %s\n' "$*" >&2; }

if ! command -v cargo >/dev/null 2>&1; then
  say "Rust is missing: install it from https://rustup.rs and run make again"
  exit 1
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
  if ! command -v apt-get >/dev/null 2>&1; then
    say "please install these (Debian names) by hand: $*"
    exit 1
  fi
  say "installing Debian packages: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
  as_root apt-get update -q >/dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null
}

build_packages() {
  missing=()
  command -v cc >/dev/null 2>&1 || missing+=(gcc libc6-dev)
  command -v pkg-config >/dev/null 2>&1 || missing+=(pkg-config)
  # libp2p's TLS provider may build with it.
  command -v cmake >/dev/null 2>&1 || missing+=(cmake)
  # The sound card: cpal links ALSA.
  pkg-config --exists alsa 2>/dev/null || missing+=(libasound2-dev)
  [ "${#missing[@]}" = 0 ] || install_packages "${missing[@]}"
}

check_tools() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
    rustup component add rustfmt clippy
  if ! cargo deny --version >/dev/null 2>&1; then
    say "installing cargo-deny from crates.io (some minutes, once)"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
      CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install --quiet --locked cargo-deny@0.20.2
  fi
}

case "${1:-build}" in
  build) build_packages ;;
  check) check_tools ;;
  *) say "usage: install-deps.sh build|check"; exit 2 ;;
esac
