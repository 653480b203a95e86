#!/usr/bin/env bash
# Format, lint, types and import contracts: everything that reads the code and runs none of it.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }
step "ruff"; ruff format --check .; ruff check .
step "mypy --strict"; mypy
step "import contracts"; PYTHONPATH=src lint-imports
step "rustfmt"; cargo fmt --all --check
step "clippy"; cargo clippy --locked --workspace --all-targets -- -D warnings
echo; echo "check: all clean"
