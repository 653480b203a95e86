"""Taking measurements: repetitions, medians, spreads, and rows of the result."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.registry import BY_ID

Row = dict[str, object]

ROOT = Path(__file__).resolve().parent
TREE = ROOT.parent
CACHE = ROOT / ".cache"

#: Servers have the first core, the generator the second; both peers alike.
SERVER_CORE = 0
GENERATOR_CORE = 1


class BenchError(Exception):
    """A benchmark could not be taken. The text says why, and what to do."""


@dataclass
class Context:
    """What a family is run with. `ids` are the figures wanted of it; `trials` overrides a count of trials."""

    ids: frozenset[str]
    quick: bool = False
    trials: int | None = None
    rows: list[Row] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def wants(self, *ids: str) -> bool:
        """Whether one of these is asked for."""
        return not self.ids.isdisjoint(ids)

    def say(self, text: str) -> None:
        """Show progress."""
        print(f"  {time.monotonic() - self.began:7.1f} s  {text}", file=sys.stderr, flush=True)

    def count(self, full: int, quick: int) -> int:
        """How many of something: `trials` where given, else by the length of the run."""
        if self.trials is not None:
            return self.trials
        return quick if self.quick else full

    def add(self, row: Row) -> None:
        """Keep a row, if it was asked for."""
        if row["id"] in self.ids:
            self.rows.append(row)


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(values))


def spread(values: Sequence[float]) -> list[float]:
    """Least and greatest, rounded like the value."""
    return [rounded(min(values)), rounded(max(values))]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie (nearest rank)."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, max(0, round((len(ordered) - 1) * share)))])


def rounded(value: float) -> float:
    """Four significant digits are more than a benchmark knows."""
    if value == 0 or abs(value) >= 1000:
        return float(round(value))
    return float(f"{value:.4g}")


def row(
    id: str,  # noqa: A002 - it is the row's id
    values: Sequence[float],
    unit: str,
    *,
    peer: str | None = None,
    peers: Sequence[float] = (),
    n: int | None = None,
    note: str = "",
    ratio: float | None = None,
    of: float | None = None,
    of_peer: float | None = None,
    **extra: object,
) -> Row:
    """One row: medians of `values` and of the peer's, their ratio, and whether that is enough.

    Where the figure is no median (a percentile, a total), it is given as `of` and `of_peer`.
    """
    value = median(values) if of is None else of
    peer_value = of_peer if of_peer is not None else median(peers) if peers else None
    if ratio is None and peer_value:
        ratio = value / peer_value
    out: Row = {
        "id": id,
        "value": rounded(value),
        "unit": unit,
        "peer": peer,
        "peer_value": None if peer_value is None else rounded(peer_value),
        "ratio": None if ratio is None else float(f"{ratio:.3g}"),
        "n": len(values) if n is None else n,
        "spread": spread(values),
        "peer_spread": spread(peers) if peers else None,
        **extra,
    }
    if note:
        out["note"] = note
    figure = BY_ID[id]
    out["must"] = "; ".join(map(str, figure.must))
    out["aim"] = "; ".join(map(str, figure.aim))
    out["met"] = all(limit.holds(out) for limit in figure.must)
    out["aim_met"] = all(limit.holds(out) for limit in figure.aim)
    return out
