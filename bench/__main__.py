"""`python -m bench [--only ID]… [--quick] [--trials N]`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback

from bench import machine, report
from bench.measure import CACHE, BenchError, Context, Row
from bench.registry import BY_ID, FIGURES


def main() -> int:
    """Run the families that are asked for; 0 if every figure was taken, whether its limits are met or not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Flyball beside its peers.")
    parser.add_argument(
        "--only", action="append", metavar="ID", help="one figure, or several by commas; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="see that the harness works; the figures mean nothing")
    parser.add_argument(
        "--trials", type=int, help="trials of orphans or storms of survivors, instead of the usual count"
    )
    parser.add_argument("--dry", action="store_true", help="print the rows and leave the results' files alone")
    words = parser.parse_args()
    asked = [word for group in words.only or [] for word in group.split(",") if word]
    unknown = sorted(set(asked) - set(BY_ID))
    if unknown:
        print(f"error: no such figure: {', '.join(unknown)}\nhint: one of {', '.join(BY_ID)}", file=sys.stderr)
        return 2
    ids = frozenset(asked or BY_ID)
    families = list(dict.fromkeys(figure.family for figure in FIGURES if figure.id in ids))
    CACHE.mkdir(parents=True, exist_ok=True)
    facts: dict[str, object] = dict(machine.facts())
    facts["fsync (4 KiB append, fdatasync)"] = "p50 {p50} ms, p99 {p99} ms".format(**machine.fsync_ms())
    began = time.monotonic()
    rows: list[Row] = []
    failed: list[str] = []
    for place, family in enumerate(families, 1):
        of_family = frozenset(figure.id for figure in FIGURES if figure.family == family) & ids
        print(f"[{place}/{len(families)}] {family}: {', '.join(sorted(of_family))}", file=sys.stderr, flush=True)
        context = Context(of_family, quick=words.quick, trials=words.trials, began=began)
        try:
            importlib.import_module(f"bench.families.{family}").run(context)
        except BenchError as error:
            print(f"error: {family}: {error}", file=sys.stderr)
            failed.append(family)
        except Exception:
            traceback.print_exc()
            failed.append(family)
        for row in context.rows:
            if words.quick:
                row["quick"] = True
            show(row)
        rows += context.rows
        if context.rows and not words.dry:
            report.merge(context.rows, facts)
    print(f"{len(rows)} figures in {time.monotonic() - began:.0f} s", file=sys.stderr)
    if failed:
        print(f"error: not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def show(row: Row) -> None:
    """One line for the terminal."""
    peer = f"  {row['peer']}: {row['peer_value']}" if row.get("peer") else ""
    ratio = f"  ratio {row['ratio']}" if row.get("ratio") is not None else ""
    mark = "met" if row["met"] else "NOT MET"
    print(f"{row['id']}: {row['value']} {row['unit']} {row['spread']}{peer}{ratio}  must {row['must']}: {mark}")
    if row.get("note"):
        print(f"    {row['note']}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
