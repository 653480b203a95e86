#!/usr/bin/env bash
# Set-up for every target: uv (from PyPI where it is missing), the locked environment, the extension.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\033[2m· %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '· %s\n' "$*"; }
die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

python=""
for candidate in python3.13 python3.12 python3.11 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(command -v "$candidate"); break
  fi
done
[ -n "$python" ] || die "Python 3.11 or later is needed" "install python3.11 and try again"
export PATH="$HOME/.cargo/bin:$PATH"
command -v cargo >/dev/null || die "a Rust toolchain is needed (cargo was not found)" "see https://rustup.rs"
command -v cc >/dev/null || die "a C compiler is needed to link the Rust extension" "install gcc or clang"

. scripts/env.sh
# uv has a folder of its own: it may lay .venv anew (another interpreter), and must not take itself away with it.
if ! command -v uv >/dev/null; then
  say "installing uv into .tools ($("$python" --version))"
  "$python" -m venv .tools
  .tools/bin/pip install -q 'uv>=0.5' || die "uv could not be installed" "is PyPI reachable?"
fi

stamp() { cat pyproject.toml uv.lock .cargo/config.toml Cargo.toml Cargo.lock crates/*/Cargo.toml $(find crates -name '*.rs' | sort) | sha256sum | cut -c1-32; }
# Our own bytecode too, each time: where Python is told to write none, every process would compile all of it anew. (What
# cannot be compiled is for the lints to say.)
compile() { .venv/bin/python -m compileall -qq src sdk/python/src || true; }
want="$(stamp) ${1:-}"
if [ "$(cat .venv/.flyball-setup 2>/dev/null || true)" = "$want" ] || [ "$(cat .venv/.flyball-setup 2>/dev/null || true)" = "${want% *} " ]; then
  compile
  exit 0
fi
say "building the decision plane (Rust; the first time takes some minutes on two cores) and the locked environment"
start=$(date +%s)
# Bytecode once, here: else the first processes of the demo and of the tests each compile the same modules.
flags=(--frozen --all-extras --no-install-project --inexact --compile-bytecode --group build --python "$python")
profile=release
if [ "${1:-}" = "--no-dev" ]; then flags+=(--no-dev); profile=demo; else flags+=(--group frameworks); fi
uv sync -q "${flags[@]}" || die "the environment could not be set up" "the message stands above; is PyPI reachable?"
# Once more: what .venv now holds (libclang) is named only when it is there.
. scripts/env.sh
# maturin by itself, not through uv's isolated build: cargo's progress shows, and nothing is built twice.
maturin develop --profile "$profile" --locked --uv || die "the decision plane did not build" "the compiler's message stands above"
compile
printf '%s' "$want" > .venv/.flyball-setup
say "ready after $(( $(date +%s) - start )) s"
