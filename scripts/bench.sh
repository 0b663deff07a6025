#!/usr/bin/env bash
# Runs one area of the benchmarks. Usage: bench.sh transfer|net|tracker|player
# The table goes to the terminal, the rows to target/report/AREA.json.
set -euo pipefail

area=${1:-}
case "$area" in
  transfer | net | tracker | player) ;;
  *) echo "usage: bench.sh transfer|net|tracker|player" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/bench"
# The other engines are built here only, in a workspace of their own.
cargo build --locked --release --target-dir target --bin "$area"
if [ -r /proc/loadavg ] && read -r load _ </proc/loadavg && [ "${load%.*}" -ge 1 ]; then
  echo "bench: other work is running here (load $load): read ratios, not absolute figures" >&2
fi
exec target/release/"$area"
