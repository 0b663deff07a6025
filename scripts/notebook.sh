#!/usr/bin/env bash
# Runs docs/notebooks/run.ipynb against a fresh run and says whether every cell worked.
# Needs python3; its packages go into target/notebook. The notebook itself is not changed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=target/notebook
program=${ANTIPHON:-target/release/antiphon}
mkdir -p "$work"
if ! "$work/venv/bin/jupyter" nbconvert --version >/dev/null 2>&1; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet nbconvert ipykernel pandas matplotlib pyarrow
fi
rm -rf "$work/run"
"$program" --quiet sim run hello --seeds 3 --jobs 2 --users 60 --out "$work/run" >/dev/null
ANTIPHON_RUN=$PWD/$work/run "$work/venv/bin/jupyter" nbconvert --to html --execute \
    --output-dir "$work" docs/notebooks/run.ipynb
echo "every cell worked; see $work/run.html"
