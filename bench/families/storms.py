"""Revoking while 32 clients reconnect as fast as they can: how long it takes, and who survives it.

A storm: a credential is issued, 32 clients connect with it, write, and reconnect; once every one of
them has been in, it is revoked. Sessions of the role are then counted at the server as its
superuser, by the role's OID: when the revoke answers, and again 100 ms later; the greater counts.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from bench import bao, machine, setting
from bench.child import Child
from bench.governor import Governor, governor
from bench.measure import GENERATOR_CORE, SERVER_CORE, BenchError, Context, percentile, row, spread
from flyball.demo.postgres import EmbeddedPostgres

CLIENTS = 32
LATER_S = 0.1

Watcher = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Outcome:
    """One storm. Milliseconds from the moment at which the revoke was asked for."""

    revoked_ms: float
    last_served_ms: float
    survivors: int
    steps: dict[str, float] = field(default_factory=dict)


def run(context: Context) -> None:
    """Both figures come from the same storms; without OpenBao where only ours is asked for."""
    both = context.wants("survivors")
    storms = context.count(200 if both else 60, 3)
    with setting.fresh("storms") as home, setting.postgres(home) as postgres:
        machine.pin(postgres.pid, SERVER_CORE)
        place = setting.write(home / "flyball", postgres=postgres)
        clients = Child("bench.stormers", log=home / "stormers.log", core=GENERATOR_CORE)
        try:
            with (
                psycopg.connect(postgres.dsn(), autocommit=True) as watcher,
                governor(place.home) as ours,
                _openbao(home, postgres, wanted=both) as theirs,
            ):
                a, b = [], []
                for at in range(storms):
                    a.append(_flyball(ours, clients, watcher))
                    if theirs is not None:
                        b.append(_bao(theirs, clients, watcher, postgres))
                    if (at + 1) % 20 == 0 or at + 1 == storms:
                        context.say(
                            f"storms {at + 1}/{storms}: p99 {percentile([one.revoked_ms for one in a], 0.99):.0f} ms; "
                            f"survivors {sum(one.survivors for one in a)}, OpenBao {sum(one.survivors for one in b)}"
                        )
        finally:
            clients.stop()
    _rows(context, a, b)


def _rows(context: Context, a: list[Outcome], b: list[Outcome]) -> None:
    took = [one.revoked_ms for one in a]
    served = [one.last_served_ms for one in a]
    names = list(dict.fromkeys(name for one in a for name in one.steps))
    steps = ", ".join(f"{name} {percentile([one.steps.get(name, 0.0) for one in a], 0.5):.0f}" for name in names)
    note = (
        f"From the call that revokes to the VERIFIED receipt: p50 {percentile(took, 0.5):.0f} ms, "
        f"most {max(took):.0f} ms. "
        f"From the same call (the fence is its first act) to the last statement served at the database: "
        f"p50 {percentile(served, 0.5):.1f} ms, p99 {percentile(served, 0.99):.1f} ms, most {max(served):.1f} ms. "
        f"Steps by the receipts, p50 in ms: {steps}."
    )
    context.add(
        row("pg-revoke-storm", took, "ms", of=percentile(took, 0.99), note=note,
            last_served_ms_p99=round(percentile(served, 0.99), 1))
    )  # fmt: skip
    if not b:
        return
    ours, theirs = [float(one.survivors) for one in a], [float(one.survivors) for one in b]
    lasting = percentile([one.last_served_ms for one in b], 0.5)
    note = (
        f"Sessions left over all {len(a)} storms. OpenBao's revoke answered 200 after p50 "
        f"{percentile([one.revoked_ms for one in b], 0.5):.0f} ms and left sessions in "
        f"{sum(one > 0 for one in theirs)} of {len(b)} storms; the last statement was served {lasting:.0f} ms (p50) "
        "after the revoke was asked for, when the storm was called off."
    )
    context.add(
        row("survivors", ours, "sessions", peer="OpenBao 2.7.2, its default statements", peers=theirs,
            of=sum(ours), of_peer=sum(theirs), note=note, per_storm=spread(ours), peer_per_storm=spread(theirs))
    )  # fmt: skip


def _flyball(ours: Governor, clients: Child, watcher: Watcher) -> Outcome:
    task = str(ours.ask("open_here", profile="lease-orders", count=1)["tasks"][0])  # type: ignore[index]
    issued = ours.ask("issue", task=task)
    connection: dict[str, object] = issued["connection"]  # type: ignore[assignment]
    oid = _oid(watcher, str(connection["user"]))
    _begin(clients, _dsn(connection["port"], connection["user"], issued["secret"]))
    answer = ours.ask("revoke_task", task=task)
    asked, done = int(str(answer["asked_ns"])), int(str(answer["done_ns"]))
    if answer["pending"]:
        raise BenchError(f"a revoke was not proved: {answer['receipts']}")
    return replace(_after(clients, watcher, oid, asked, done), steps=_steps(answer["receipts"]))


def _steps(receipts: object) -> dict[str, float]:
    """Milliseconds of each step, as the receipt tells them."""
    found: dict[str, float] = {}
    for receipt in receipts if isinstance(receipts, list) else []:
        for step in receipt.get("steps", []):
            found[str(step["step"])] = found.get(str(step["step"]), 0.0) + float(step.get("ms", 0))
    return found


def _bao(theirs: bao.Bao, clients: Child, watcher: Watcher, postgres: EmbeddedPostgres) -> Outcome:
    lease, user, password = theirs.issue()
    oid = _oid(watcher, user)
    _begin(clients, _dsn(postgres.port, user, password))
    asked = time.monotonic_ns()
    theirs.revoke(lease)
    done = time.monotonic_ns()
    return _after(clients, watcher, oid, asked, done)


def _begin(clients: Child, dsn: str) -> None:
    clients.ask("start", dsn=dsn, clients=CLIENTS)
    deadline = time.monotonic() + 20
    while clients.number("look", "connects") < 2 * CLIENTS:
        if time.monotonic() > deadline:
            raise BenchError("the storm does not get up")
        time.sleep(0.01)


def _after(clients: Child, watcher: Watcher, oid: int, asked: int, done: int) -> Outcome:
    at_once = _sessions(watcher, oid)
    time.sleep(LATER_S)
    later = _sessions(watcher, oid)
    found = clients.ask("stop")
    watcher.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usesysid = %s::oid", (oid,))
    last = (int(str(found["last_ns"])) - asked) / 1e6
    return Outcome((done - asked) / 1e6, max(0.0, last), max(at_once, later))


def _sessions(watcher: Watcher, oid: int) -> int:
    found = watcher.execute("SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s::oid", (oid,)).fetchone()
    return 0 if found is None else int(str(found[0]))


def _oid(watcher: Watcher, name: str) -> int:
    found = watcher.execute("SELECT oid::bigint FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    if found is None:
        raise BenchError(f"no role {name} at the server")
    return int(str(found[0]))


def _dsn(port: object, user: object, password: object) -> str:
    return f"host=127.0.0.1 port={port} dbname=orders user={user} password={password} sslmode=disable"


@contextlib.contextmanager
def _openbao(home: Path, postgres: EmbeddedPostgres, *, wanted: bool) -> Iterator[bao.Bao | None]:
    if not wanted:
        yield None
        return
    password = secrets.token_urlsafe(16)
    bao.prepare(postgres, password)
    theirs = bao.Bao(home / "bao")
    try:
        theirs.start()
        theirs.set_up(postgres, password)
        yield theirs
    finally:
        theirs.stop()
