#!/usr/bin/env bash
# All tests: the crates', then Python's on real servers. Says at the end what was skipped and why.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== cargo test"
cargo test --locked --workspace --exclude flyball-python -q
echo "== pytest"
exec pytest -n "${WORKERS:-2}" --dist loadgroup -rs ${PYTEST_ARGS:-}
