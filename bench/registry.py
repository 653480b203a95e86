"""The figures: their ids, what must hold and what we aim for, and the module that measures each.

A limit speaks of the `ratio` (ours over the peer's), of the `value`, or of an extra member of the
row by its name. A row is met when all its `must` limits hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """`of` a row's member: at least or at most `number`. `unit` is for the reader."""

    of: str
    least: bool
    number: float
    unit: str

    def holds(self, row: Mapping[str, object]) -> bool:
        """Whether the row keeps to it; False where the member is missing."""
        value = row.get(self.of)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return value >= self.number if self.least else value <= self.number

    def __str__(self) -> str:
        shown = f"{self.number:.3f}".rstrip("0").rstrip(".")
        if self.of == "ratio" and 0 < self.number < 1 and self.unit == "×" and self.number == round(1 / 6, 4):
            shown = "1/6"
        return f"{'≥' if self.least else '≤'}{shown}{self.unit}"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `family` is the module of this package that measures it."""

    id: str
    what: str
    family: str
    must: tuple[Limit, ...]
    aim: tuple[Limit, ...]


def _ratio(number: float, *, least: bool = False, unit: str = "×") -> Limit:
    return Limit("ratio", least, number, unit)


def _value(number: float, unit: str = "") -> Limit:
    return Limit("value", False, number, unit)


_NONE = (_value(0),)

FIGURES: tuple[Figure, ...] = (
    Figure(
        "http-throughput",
        "HTTP decision with task, intent, Cedar, buffered record: throughput beside OPA's (10 like rules)",
        "http",
        (_ratio(2, least=True),),
        (_ratio(4, least=True),),
    ),
    Figure("http-cpu", "the same: server CPU per decision", "http", (_ratio(0.45),), (_ratio(round(1 / 6, 4)),)),
    Figure(
        "http-durable",
        "the same with every record durable first; OPA writes none",
        "http",
        (_ratio(1.3, least=True),),
        (_ratio(2.5, least=True),),
    ),
    Figure("http-p99", "p99 latency at 32 connections, buffered", "http", (_ratio(0.5),), (_ratio(0.2),)),
    Figure(
        "ext-authz",
        "Envoy that asks Flyball for each request, records durable first, beside Envoy that asks OPA: requests/s",
        "ext_authz",
        (_ratio(2, least=True),),
        (_ratio(4, least=True),),
    ),
    Figure(
        "ext-authz-fence",
        "from a fence to the next request refused by Envoy: p99",
        "ext_authz",
        (_value(50, " ms"),),
        (_value(5, " ms"),),
    ),
    Figure(
        "http-busy",
        "http-durable's p99 beside 200 heartbeats/s and one busy Python thread, against idle",
        "http_busy",
        (_ratio(2),),
        (_ratio(1.2),),
    ),
    Figure(
        "inproc", "in-process check from Python, buffered: p50", "inproc", (_value(15, " µs"),), (_value(6, " µs"),)
    ),
    Figure(
        "intent-check",
        "the same, held to where three arguments come from, over 200 remembered results: p50, p99",
        "remembered",
        (_value(25, " µs"), Limit("p99_us", False, 100, " µs p99")),
        (_value(10, " µs"), Limit("p99_us", False, 30, " µs p99")),
    ),
    Figure(
        "intent-memory", "memory of a task with 200 results", "remembered", (_value(64, " KB"),), (_value(16, " KB"),)
    ),
    Figure(
        "policies-flat",
        "100,000 hand-written policies against 10: p50 latency of a check",
        "flat",
        (_ratio(1.5),),
        (_ratio(1.1),),
    ),
    Figure(
        "tasks-flat",
        "1,000,000 live tasks against 1,000: p50 latency of a check; memory a task",
        "flat",
        (_ratio(1.5), Limit("bytes_per_task", False, 1024, " B")),
        (_ratio(1.1), Limit("bytes_per_task", False, 500, " B")),
    ),
    Figure(
        "pg-lease-rate",
        "PostgreSQL issue and verified revoke: leases/s beside raw SQL doing the same steps",
        "leases",
        (_ratio(0.6, least=True),),
        (_ratio(0.9, least=True),),
    ),
    Figure(
        "pg-revoke-storm",
        "verified revoke under a 32-client reconnect storm: p99",
        "storms",
        (_value(500, " ms"),),
        (_value(150, " ms"),),
    ),
    Figure("survivors", "sessions alive after the revoke, 200 storms, beside OpenBao", "storms", _NONE, _NONE),
    Figure("orphans", "roles that no lease knows after kill -9 while issuing, beside OpenBao", "orphans", _NONE, _NONE),
    Figure(
        "pg-gateway-throughput",
        "PostgreSQL gateway: pgbench select-only, each decision durable first, beside PgBouncer",
        "pg_gateway",
        (_ratio(0.6, least=True),),
        (_ratio(1, least=True),),
    ),
    Figure(
        "pg-gateway-latency",
        "the same: added to one statement, parse and check included, p50: buffered, and durable first",
        "pg_gateway",
        (_value(150, " µs"), Limit("durable_us", False, 500, " µs durable")),
        (_value(40, " µs"), Limit("durable_us", False, 300, " µs durable")),
    ),
    Figure(
        "pg-gateway-fence",
        "the same: fence to the client's socket closed, in the middle of a result: p99",
        "pg_gateway",
        (_value(50, " ms"),),
        (_value(5, " ms"),),
    ),
    Figure(
        "http-gateway-throughput",
        "HTTP gateway: requests/s, each decision durable first, beside Envoy as a plain reverse proxy (and nginx)",
        "http_gateway",
        (_ratio(0.5, least=True),),
        (_ratio(0.9, least=True),),
    ),
    Figure(
        "http-gateway-fence",
        "the same: fence to the client's socket closed, in the middle of a stream: p99",
        "http_gateway",
        (_value(50, " ms"),),
        (_value(5, " ms"),),
    ),
    Figure(
        "mcp-stdio",
        "MCP gateway on standard streams, records durable first: added latency of a call over direct, p50, p99",
        "mcp",
        (_value(2, " ms"), Limit("p99_ms", False, 6, " ms p99")),
        (_value(0.5, " ms"), Limit("p99_ms", False, 2, " ms p99")),
    ),
    Figure(
        "mcp-http",
        "the same over Streamable HTTP",
        "mcp",
        (_value(2, " ms"), Limit("p99_ms", False, 6, " ms p99")),
        (_value(0.5, " ms"), Limit("p99_ms", False, 2, " ms p99")),
    ),
    Figure("fence-race", "allows after the fence in 1,000,000 racing checks", "fence", _NONE, _NONE),
)

BY_ID: Mapping[str, Figure] = {figure.id: figure for figure in FIGURES}
