"""kill -9 while issuing, again and again: roles that nobody will ever take back.

A trial: eight threads issue credentials as fast as they can; after a random time the server is
killed and started again; once it has recovered, every role of its making at the database must be
one that it knows and will take back. Flyball: a lease that was delivered to a task that lives.
OpenBao: a role that goes away when it is told to revoke all leases of the role.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench import bao, setting
from bench.governor import Forked
from bench.measure import GENERATOR_CORE, SERVER_CORE, BenchError, Context, row

THREADS = 8
#: The kill comes at a random instant of this many seconds after the first issue was asked for.
WITHIN_S = 0.25
RECOVERY_S = 20.0


@dataclass
class Outcome:
    """What the trials left. `orphans` by trial; `roles` is how many there were in all after the kills."""

    orphans: list[int] = field(default_factory=list)
    roles: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All orphans."""
        return sum(self.orphans)


def run(context: Context) -> None:
    """Each peer has its own PostgreSQL and its own core, and both go at once: nothing here is timed."""
    trials = context.count(300, 4)
    with setting.fresh("orphans") as home:
        outcomes = {"Flyball": Outcome(), "OpenBao": Outcome()}
        with ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(flyball_trials, home / "a", trials, outcomes["Flyball"], SERVER_CORE),
                pool.submit(bao_trials, home / "b", trials, outcomes["OpenBao"], GENERATOR_CORE),
            ]
            shown = -1
            while not all(one.done() for one in running):
                done = len(outcomes["Flyball"].orphans)
                if done // 25 != shown // 25:
                    shown = done
                    said = ", ".join(f"{who} {len(o.orphans)}/{trials}: {o.total}" for who, o in outcomes.items())
                    context.say(f"orphans: {said}")
                time.sleep(0.2)
            for one in running:
                one.result()
    ours, theirs = outcomes["Flyball"], outcomes["OpenBao"]
    note = (
        f"Over all {trials} kills of each. Flyball: {ours.roles} roles stood at the database after its kills, "
        f"{ours.total} of them unknown to it. OpenBao: {theirs.roles} stood, {theirs.total} of them no lease knows, "
        f"in {sum(one > 0 for one in theirs.orphans)} of {trials} trials."
    )
    if ours.names:
        note += f" Ours: {', '.join(ours.names[:5])}."
    context.add(
        row("orphans", [float(one) for one in ours.orphans], "roles", peer="OpenBao 2.7.2, raft",
            peers=[float(one) for one in theirs.orphans], of=float(ours.total), of_peer=float(theirs.total), note=note)
    )  # fmt: skip


def flyball_trials(home: Path, trials: int, outcome: Outcome, core: int | None = None) -> Outcome:
    """Flyball's trials, one after the other on one store and one database."""
    with setting.postgres(home) as postgres:
        place = setting.write(home / "flyball", postgres=postgres)
        with psycopg.connect(postgres.dsn(), autocommit=True) as watcher:
            ours = Forked(place.home, core=core)
            try:
                for _ in range(trials):
                    ours.ask("burst", threads=THREADS)
                    time.sleep(random.uniform(0, WITHIN_S))
                    ours.kill()
                    ours = Forked(place.home, core=core)
                    _judge(ours, watcher, outcome)
            finally:
                ours.kill()
    return outcome


def _judge(ours: Forked, watcher: psycopg.Connection[tuple[object, ...]], outcome: Outcome) -> None:
    there = _roles(watcher, "fb_%")
    outcome.roles += len(there)
    standing = ours.ask("standing", wait_s=RECOVERY_S)
    by_right = set(map(str, standing["by_right"]))  # type: ignore[call-overload]
    orphans = dict.fromkeys(_roles(watcher, "fb_%") - by_right, "no lease that will be taken back")
    ours.ask("end_all")
    # Whatever still stands when every task is gone, nobody will take back either.
    orphans |= dict.fromkeys(_roles(watcher, "fb_%"), "still there after every task was revoked")
    outcome.orphans.append(len(orphans))
    outcome.names += [f"{name}: {why}" for name, why in orphans.items()]
    for name in orphans:
        watcher.execute(f'DROP ROLE IF EXISTS "{name}"')


def bao_trials(home: Path, trials: int, outcome: Outcome, core: int = GENERATOR_CORE) -> Outcome:
    """OpenBao's trials."""
    password = secrets.token_urlsafe(16)
    with setting.postgres(home) as postgres:
        setting.write(home / "unused", postgres=postgres)
        bao.prepare(postgres, password)
        theirs = bao.Bao(home / "bao", core=core)
        try:
            theirs.start()
            theirs.set_up(postgres, password)
            with psycopg.connect(postgres.dsn(), autocommit=True) as watcher:
                for _ in range(trials):
                    _burst_and_kill(theirs)
                    theirs.start()
                    outcome.roles += len(_roles(watcher, "v-%"))
                    _revoke_all(theirs)
                    left = _roles(watcher, "v-%")
                    outcome.orphans.append(len(left))
                    for name in left:
                        watcher.execute(f'DROP ROLE IF EXISTS "{name}"')
        finally:
            theirs.stop()
    return outcome


def _burst_and_kill(theirs: bao.Bao) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                theirs.issue()
            except bao.BaoError:
                if stop.wait(0.001):
                    return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(0, WITHIN_S))
    theirs.kill()
    stop.set()
    for thread in threads:
        thread.join(10)


def _revoke_all(theirs: bao.Bao) -> None:
    # It takes its leases up again in the background; a refusal meanwhile is no orphan.
    deadline = time.monotonic() + RECOVERY_S
    while True:
        try:
            theirs.revoke_all()
            return
        except bao.BaoError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"OpenBao does not revoke: {error}") from error
            time.sleep(0.1)


def _roles(watcher: psycopg.Connection[tuple[object, ...]], like: str) -> set[str]:
    found = watcher.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (like,)).fetchall()
    return {str(one[0]) for one in found}
