#!/usr/bin/env bash
# The server's wheel (abi3: one for every Python from 3.11) and the SDK's.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf dist; mkdir dist
maturin build --release --locked --out dist >/dev/null
uv build -q --wheel --out-dir dist sdk/python
ls -l dist
