#!/usr/bin/env bash
# Peers that benchmarks compare with, built once into a cache folder outside the tree.
set -euo pipefail
cache="${CACHE:-$HOME/.cache/flyball}"
mkdir -p "$cache/bin"
if [ ! -x "$cache/bin/opa" ]; then
  command -v go >/dev/null || { echo "error: Go is needed to build OPA" >&2; echo "hint: install Go 1.25 or later, or put an opa binary at $cache/bin/opa" >&2; exit 1; }
  echo "· building OPA 1.22.2 into $cache/bin (about a minute)"
  GOBIN="$cache/bin" go install github.com/open-policy-agent/opa@v1.22.2
fi
if [ ! -x "$cache/bin/opa-envoy" ]; then
  command -v go >/dev/null || { echo "error: Go is needed to build OPA's Envoy plugin" >&2; echo "hint: install Go 1.25 or later, or put the binary at $cache/bin/opa-envoy" >&2; exit 1; }
  echo "· building OPA 1.22.2 with its Envoy plugin 1.14.1 into $cache/bin (about two minutes)"
  go build -C "$(dirname "$0")/../bench/opaenvoy" -mod=readonly -o "$cache/bin/opa-envoy" .
fi
