"""PostgreSQL through the gateway: pgbench's select-only beside PgBouncer, what one statement costs more, and a fence.

pgbench has one core, and what stands between it and PostgreSQL the other: Flyball with the gateway, or PgBouncer.
PostgreSQL is beside pgbench, or beside what stands before it: each figure is taken in both places, and says which.
pgbench speaks the simple protocol, with another literal in each statement: the gateway knows their shape, and decides
each. The latency is of statements with a comment, which have no shape, so that each is parsed and judged anew as well.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

import flyball_sdk
from bench import machine, setting
from bench.gateway import Place, private, serving
from bench.measure import GENERATOR_CORE, SERVER_CORE, TREE, BenchError, Context, median, percentile, row
from flyball.connectors.postgresql import setup
from flyball.demo.postgres import EmbeddedPostgres, free_port

SCALE = 10
CLIENTS = 64
LATENCY_SECONDS = 3
ROLE = "bench_plain"
BUNDLE = """
name: pg-gateway
version: "1"
owners: {{shop: {{contact: shop@example.com}}}}
agents: {{bench-agent: {{ids: ["{agent}"], owner: shop}}}}
identity: {{trust_domains: {{{domain}: {{dev: true}}}}}}
resource_types: {{table: }}
access_classes:
  default: {{risk: high, record: durable}}
  reading: {{risk: low, record: {record}}}
actions: {{sql.select: {{resource: table, effect: read, class: reading, args: {{columns: strings}}}}}}
peps: {{gateway: {{identity: {{gateway: postgresql}}, actions: [sql.*]}}}}
targets:
  bank:
    kind: postgresql
    database: bank
    admin: {{user: {admin}, password_file: {password}}}
    doors: {{primary: {{host: 127.0.0.1, port: {port}}}}}
    accesses:
      reader:
        group: {group}
        delivery: brokered
        connection_limit: 100
        grants: [{{action: sql.select, on: [bank.public.pgbench_accounts]}}]
"""
PROFILE = """
profile: read
purpose: Read accounts
agents: [bench-agent]
time: {ttl: 1h, heartbeat: 5m}
credentials: {bank: {access: reader}}
allow: [{action: sql.select, on: [bank.public.pgbench_accounts]}]
on_deviation: deny
"""
Took = dict[str, list[float]]
# Where PostgreSQL is: with the servers, as everywhere in this benchmark, so that no processor sleeps between two of
# them; or with pgbench, so that what stands between has a processor of its own.
WITH_SERVERS, WITH_PGBENCH = SERVER_CORE, GENERATOR_CORE
KNOWN = "of a known shape"
_TPS = re.compile(rb"tps = ([0-9.]+) \(without initial")


def run(context: Context) -> None:
    """Throughput, added latency, fence."""
    seconds, repetitions = (2, 1) if context.quick else (8, 5)
    admin, plain = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    with setting.fresh("pg-gateway") as home, setting.postgres(home) as postgres:
        _prepare(postgres, admin, plain)
        with _bouncer(home, postgres, plain) as pooled:
            ways = {"direct": {**pooled, "PGPORT": str(postgres.port)}, "PgBouncer": pooled}
            took: dict[tuple[str, int], Took] = {}
            # One after the other: of two of one issuer at one database the second issues nothing.
            for record in ("durable", "buffered"):
                if record == "buffered" and not context.wants("pg-gateway-latency"):
                    continue
                with _flyball(home / record, postgres, admin, record) as place, place.task() as task:
                    if record == "durable" and context.wants("pg-gateway-throughput"):
                        _throughput(context, postgres, task, pooled, seconds, repetitions)
                    for core in (WITH_SERVERS, WITH_PGBENCH) if context.wants("pg-gateway-latency") else ():
                        machine.pin(postgres.pid, core)
                        took[record, core] = _latency(context, ways, record, task, repetitions)
                    if record == "durable" and context.wants("pg-gateway-fence"):
                        machine.pin(postgres.pid, WITH_PGBENCH)
                        _fence(context, place)
            if took:
                _tell_latency(context, took)


def _throughput(
    context: Context,
    postgres: EmbeddedPostgres,
    task: flyball_sdk.Task,
    pooled: Mapping[str, str],
    seconds: int,
    repetitions: int,
) -> None:
    ratios: dict[int, float] = {}
    for core in (WITH_SERVERS, WITH_PGBENCH):
        machine.pin(postgres.pid, core)
        ours, theirs = [], []
        for at in range(repetitions):
            ours.append(_tps(_ticket(task), seconds))
            theirs.append(_tps(pooled, seconds))
            context.say(f"pgbench {at + 1}/{repetitions}: gateway {ours[-1]:.0f}/s, PgBouncer {theirs[-1]:.0f}/s")
        ratios[core] = round(median(ours) / median(theirs), 3)
    note = (
        f"{CLIENTS} clients, simple protocol; every statement's decision is durable before it goes upstream. "
        f"PostgreSQL beside pgbench; on the core of what stands before it {ratios[WITH_SERVERS]} of PgBouncer."
    )
    context.add(
        row("pg-gateway-throughput", ours, "statements/s", peer="PgBouncer", peers=theirs, note=note,
            one_core=ratios[WITH_SERVERS])
    )  # fmt: skip


def _latency(
    context: Context, ways: Mapping[str, Mapping[str, str]], record: str, task: flyball_sdk.Task, repetitions: int
) -> Took:
    """p50 of one client, in turns past Flyball and through it, whose records are kept so."""
    took: Took = {name: [] for name in (*ways, record, KNOWN)}
    for at in range(repetitions):
        for name, each in took.items():
            where = ways[name] if name in ways else _ticket(task)
            each.append(_p50_us(where, LATENCY_SECONDS, anew=name != KNOWN))
        context.say(
            f"latency {at + 1}/{repetitions}: " + ", ".join(f"{name} {one[-1]:.0f}" for name, one in took.items())
        )
    return took


def _tell_latency(context: Context, took: Mapping[tuple[str, int], Took]) -> None:
    def added(name: str, record: str, core: int) -> list[float]:
        runs = took[record, core]
        return [one - other for one, other in zip(runs[name], runs["direct"], strict=True)]

    def bouncer(core: int) -> float:
        return median([*added("PgBouncer", "durable", core), *added("PgBouncer", "buffered", core)])

    def told(core: int) -> str:
        found: dict[str, float] = {}
        for record in ("durable", "buffered"):
            for name, each in took[record, core].items():
                found[f"{record} {name}" if name == KNOWN else name] = median(each)
        return ", ".join(f"{name} {us:.0f} µs" for name, us in found.items())

    durably = {core: round(median(added("durable", "durable", core)), 1) for core in (WITH_SERVERS, WITH_PGBENCH)}
    apart = median(added("buffered", "buffered", WITH_PGBENCH))
    known = {record: round(median(added(KNOWN, record, WITH_SERVERS)), 1) for record in ("buffered", "durable")}
    note = (
        f"One client; p50: {told(WITH_SERVERS)}. PgBouncer, which decides nothing, adds {bouncer(WITH_SERVERS):.0f} "
        f"µs; a statement {KNOWN} {known['buffered']:.0f} µs, {known['durable']:.0f} durable. With PostgreSQL on "
        f"pgbench's core, so that two more wakes of a sleeping processor are in each: {told(WITH_PGBENCH)}; added "
        f"{apart:.0f} µs buffered, {durably[WITH_PGBENCH]:.0f} durable, PgBouncer {bouncer(WITH_PGBENCH):.0f}."
    )
    context.add(
        row("pg-gateway-latency", added("buffered", "buffered", WITH_SERVERS), "µs", note=note,
            durable_us=durably[WITH_SERVERS], known_us=known["buffered"], known_durable_us=known["durable"],
            apart_us=round(apart, 1), apart_durable_us=durably[WITH_PGBENCH])
    )  # fmt: skip


def _fence(context: Context, place: Place) -> None:
    """From the request that revokes to the end of the client's connection, in the middle of a result."""
    count = context.count(100, 5)
    took = [_ended_ms(place) for _ in range(count)]
    note = f"{count} tasks revoked while a result was under way; the request on its way to Flyball is in it."
    context.add(row("pg-gateway-fence", took, "ms", of=percentile(took, 0.99), note=note))


def _ended_ms(place: Place) -> float:
    task = place.task()
    task.open()
    words = machine.on_core(GENERATOR_CORE, [sys.executable, "-m", "bench.streamer"])
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TREE) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        print(json.dumps(task.connect("bank").kwargs()), file=reader.stdin, flush=True)
        if reader.stdout.readline() != "streaming\n":
            raise BenchError("no result came")
        began = time.monotonic()
        place.revoke(task.id)
        ended = reader.stdout.readline()
    task.end()
    if not ended:
        raise BenchError("the result went on after the fence")
    return (float(ended) - began) * 1000


def _flyball(home: Path, postgres: EmbeddedPostgres, admin: str, record: str) -> AbstractContextManager[Place]:
    """A `flyball serve` on a core of its own, whose reads are recorded `durable` first or `buffered`."""
    manifest = BUNDLE.format(
        agent=setting.AGENT, domain=setting.TRUST_DOMAIN, record=record, admin=setting.ADMIN,
        password=private(home / "admin.password", admin), port=postgres.port, group=setting.GROUP,
    )  # fmt: skip
    section = "postgresql_gateway: {listen: 127.0.0.1:0, ticket: 1h}\n"
    return serving(home, manifest=manifest, profile="read", text=PROFILE, section=section)


@contextmanager
def _bouncer(home: Path, postgres: EmbeddedPostgres, secret: str) -> Iterator[dict[str, str]]:
    """PgBouncer, pooling by transaction, with as many sessions at the server as there are clients."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).is_file():
        raise BenchError("PgBouncer is not here: make parts")
    folder = home / "bouncer"
    folder.mkdir()
    port = free_port()
    (folder / "users.txt").write_text(f'"{ROLE}" "{secret}"\n')
    (folder / "bouncer.ini").write_text(
        f"[databases]\nbank = host=127.0.0.1 port={postgres.port} dbname=bank\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users.txt\n"
        f"pool_mode = transaction\ndefault_pool_size = {CLIENTS}\nunix_socket_dir =\nlogfile = {folder}/log\n"
    )
    words = [program, str(folder / "bouncer.ini")]
    if os.geteuid() == 0:  # it refuses to run as root
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")
        for above in (home, home.parent):
            above.chmod(above.stat().st_mode | 0o011)
        words = [program, "-u", "nobody", str(folder / "bouncer.ini")]
    process = machine.start(words, core=SERVER_CORE, log=home / "bouncer.out")
    there = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": ROLE, "PGPASSWORD": secret, "PGDATABASE": "bank"}
    try:
        for _ in range(100):
            with suppress(psycopg.Error):
                psycopg.connect(f"host=127.0.0.1 port={port} dbname=bank user={ROLE} password={secret}").close()
                break
            time.sleep(0.05)
        else:
            raise BenchError(f"PgBouncer did not start: {(home / 'bouncer.out').read_text()[-400:]}")
        yield there
    finally:
        machine.end(process)


def _prepare(postgres: EmbeddedPostgres, admin: str, plain: str) -> None:
    """pgbench's tables, the group that reads them, Flyball's own role, and a role for whoever goes another way."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bank")
    env = {**os.environ, "PGPASSWORD": postgres.password}
    words = [
        "pgbench",
        "-i",
        "-q",
        "-s",
        str(SCALE),
        "-h",
        "127.0.0.1",
        "-p",
        str(postgres.port),
        "-U",
        "postgres",
        "bank",
    ]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"pgbench could not make its tables: {done.stderr[-400:]}")
    with psycopg.connect(postgres.dsn(dbname="bank"), autocommit=True) as connection:
        group, role = sql.Identifier(setting.GROUP), sql.Identifier(ROLE)
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(group))
        connection.execute(sql.SQL("GRANT SELECT ON pgbench_accounts TO {}").format(group))
        statement = "CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}"
        connection.execute(sql.SQL(statement).format(role, sql.Literal(plain), group))
        connection.execute("VACUUM ANALYZE")
        setup.apply(connection, admin=setting.ADMIN, password=admin, groups=[setting.GROUP])


def _ticket(task: flyball_sdk.Task) -> dict[str, str]:
    """The gateway, as pgbench knows it."""
    given = task.connect("bank").kwargs()
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    return {variable: str(given[name]) for name, variable in names.items()}


def _pgbench(where: Mapping[str, str], words: list[str], folder: Path | None = None, *, anew: bool = False) -> bytes:
    # With -n it looks at no table but the one that it reads; the number of accounts is told.
    select = f"SELECT {'/**/ ' if anew else ''}abalance FROM pgbench_accounts WHERE aid = :aid;"
    script = f"\\set aid random(1, {100_000 * SCALE})\n{select}\n"
    command = machine.on_core(GENERATOR_CORE, ["pgbench", "-n", "-f", "-", *words])
    done = subprocess.run(
        command, input=script.encode(), env={**os.environ, **where}, capture_output=True, check=False, cwd=folder
    )
    if done.returncode != 0 or b"number of failed transactions: 0 " not in done.stdout:
        raise BenchError(f"pgbench failed: {(done.stderr or done.stdout)[-400:]!r}")
    return done.stdout


def _tps(where: Mapping[str, str], seconds: int) -> float:
    found = _TPS.search(_pgbench(where, ["-c", str(CLIENTS), "-j", "2", "-T", str(seconds)]))
    if found is None:
        raise BenchError("pgbench told no rate")
    return float(found[1])


def _p50_us(where: Mapping[str, str], seconds: int, *, anew: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        _pgbench(where, ["-c", "1", "-T", str(seconds), "-l"], Path(folder), anew=anew)
        lines = [line.split() for log in Path(folder).glob("pgbench_log.*") for line in log.read_text().splitlines()]
    return percentile([float(words[2]) for words in lines], 0.5)
