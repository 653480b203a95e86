"""From a configuration to a `House`: every part made, in the order in which they need each other.

1. keys; 2. the bundle, validated; 3. the store, locked and migrated, held against its anchor;
4. the decision plane, with the bundle loaded; 5. targets; 6. the revoker and its journal;
7. identity; then recovery, before anything listens.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flyball.assembly import catalog
from flyball.assembly.config import Config, require_production_ready
from flyball.assembly.gateways import let_go
from flyball.assembly.identity import dev_domains, identity_config
from flyball.assembly.keys import Keys, open_keys
from flyball.audit.anchor import Anchor, Standing, compare
from flyball.audit.checkpoint import CheckpointSigner
from flyball.credential.backend import Backend, Claim
from flyball.credential.claims import Claims
from flyball.credential.guarded import Guarded
from flyball.credential.lease import LIVE, Lease
from flyball.enforcement.gateway import Gateway
from flyball.flow import bundles, end, startup
from flyball.flow.house import ActiveBundle, House, Settings
from flyball.identity.admin import AdminTokens
from flyball.identity.replay import ReplayCache
from flyball.identity.resolve import Resolver
from flyball.kernel.clock import Clock, SystemClock
from flyball.kernel.errors import ConfigError
from flyball.kernel.faults import arm_from_env
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.policy.compile import Compiled, load_bundle
from flyball.policy.engine import Core
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Revoker
from flyball.revocation.sweep import Sweeper
from flyball.stores.sqlite.native import NativeDatabase, open_store
from flyball.stores.sqlite.store import SqliteStore
from flyball.task.heartbeat import ReceivingClock


@dataclass(frozen=True, slots=True)
class Built:
    """A house that has recovered, and what must be closed with it."""

    house: House
    store: SqliteStore
    recovered: startup.Recovered
    keys: Keys

    def close(self) -> None:
        """Stop revoking (what is left goes on at the next start), sign the last head, close the store."""
        self.house.revoker.stop()
        self.house.claims.let_go()
        self.house.signer.close()
        self.house.journal.close()
        self.store.close()


def build(config: Config, *, clock: Clock | None = None, env: Mapping[str, str] | None = None) -> Built:
    """Make the house and let it recover. Nothing listens yet.

    Raises:
        ConfigError: the configuration, the bundle or the state directory cannot be used.
        Unavailable: the store cannot be opened.
    """
    time = clock or SystemClock()
    arm_from_env(production=config.mode == "production", environ=env or {})
    keys = open_keys(config)
    compiled = load_bundle(config.bundle)
    kinds = {name: target.kind for name, target in compiled.bundle.targets.items()}
    require_production_ready(config, connectors=kinds, dev_domains=dev_domains(compiled.bundle))
    backends = _backends(config, compiled, time)
    if config.store.parent != config.state_dir:
        raise ConfigError("the store lies directly in the state directory", hint="leave `store` out")
    store = open_store(config.state_dir, cell=config.cell, node=config.node, sealer=keys.sealer, clock=time)
    try:
        return _assemble(config, keys, compiled, backends, store, time)
    except BaseException:
        store.close()
        raise


def _assemble(
    config: Config,
    keys: Keys,
    compiled: Compiled,
    backends: Mapping[str, Backend],
    store: SqliteStore,
    clock: Clock,
) -> Built:
    journal = Journal(config.journal.path, config.journal.size)
    anchor = Anchor(config.anchor, lambda: journal.fences_seq)
    anchored = anchor.read()
    standing = compare(store.records, store.generation, anchored, journal.fences_seq)
    epoch = store.open_epoch(cause=standing.value, at_least=0 if anchored is None else anchored.generation)
    database = store.database
    assert isinstance(database, NativeDatabase)
    core = Core(
        cell=config.cell,
        node=config.node,
        epoch=epoch,
        deployment_key=keys.deployment,
        writer=database.writer,
        max_wait_ms=config.decision.max_wait_ms,
    )
    active = ActiveBundle(compiled, config.bundle)

    gateways: dict[str, Gateway] = {}

    def unseal(lease: Lease, sealed: bytes) -> Secret:
        return Secret(keys.sealer.unseal(lease.id, sealed).decode())

    def cooperative(lease: Lease) -> tuple[str, ...]:
        task = store.tasks.get(lease.task)
        found = () if task is None else active.compiled.cooperative.get(task.profile, ())
        return tuple(f"{one.action or 'the whole task'}: {one.limit}" for one in found)

    revoker = Revoker(
        store=store,
        leases=store.leases,
        tasks=store.tasks,
        records=store.records,
        journal=journal,
        backends=backends,
        signer=keys.receipts,
        clock=clock,
        epoch=epoch,
        cell=config.cell,
        unseal=unseal,
        cooperative=cooperative,
        on_settled=lambda lease: end.close(house, lease.task),
        let_go=lambda lease: let_go(gateways, lease),
    )
    # The store's id is random, so its beginning is as good a name; a copy of the store differs in the rest.
    claims = Claims(backends, Claim(config.issuer, store.store_id[:12], secrets.token_hex(8)))
    sweeper = Sweeper(
        revoker=revoker,
        leases=store.leases,
        backends=backends,
        claims=claims,
        clock=clock,
        cell=config.cell,
        epoch=epoch,
        grace_ms=config.timing.sweep_grace_ms,
    )
    admins = AdminTokens(config.admin_token_file)
    admins.create()
    house = House(
        settings=Settings(
            issuer=config.issuer,
            cell=config.cell,
            node=config.node,
            epoch=epoch,
            mode=config.mode,
            undelivered_ms=config.timing.undelivered_ms,
            sweep_ms=config.timing.sweep_ms,
        ),
        clock=clock,
        resolver=Resolver(identity_config(config, compiled.bundle), clock=clock),
        replay=ReplayCache(clock),
        keys=keys.tokens,
        admins=admins,
        active=active,
        core=core,
        sealer=keys.sealer,
        backends=backends,
        claims=claims,
        store=store,
        tasks=store.tasks,
        leases=store.leases,
        log=store.records,
        journal=journal,
        revoker=revoker,
        sweeper=sweeper,
        signer=CheckpointSigner(store.records, keys.notes, issuer=config.issuer, clock=clock, anchor=anchor),
        receiving=ReceivingClock(clock, cap_ms=lambda: _longest_left(store, clock)),
        writer=database.writer,
        public_keys=keys.public(config.issuer),
        gateways=gateways,
    )
    bundles.put_in_force(house, compiled, config.bundle, by="start")
    recovered = startup.recover(house, standing if _was_used(store) else Standing.OK)
    return Built(house, store, recovered, keys)


def _longest_left(store: SqliteStore, clock: Clock) -> int | None:
    """Milliseconds that any live credential still has at its target; None where there is none.

    A stop of ours is no reason for a task to hold anything longer than its targets would let it.
    """
    ends = [_ends_ms(lease) for lease in store.leases.select(states=LIVE, limit=1_000_000)]
    return max(ends) - clock.wall_ms() if ends else None


def _ends_ms(lease: Lease) -> int:
    native = lease.progress.get("native_expiry_ms")
    return native if isinstance(native, int) and native else lease.expires_ms


def _was_used(store: SqliteStore) -> bool:
    # A store that has never been opened before has nothing to be behind of.
    return store.generation > 1


def _backends(config: Config, compiled: Compiled, clock: Clock) -> dict[str, Backend]:
    made: dict[str, Backend] = {}
    for name, target in compiled.bundle.targets.items():
        factory = catalog.connector(target.kind)
        settings = _absolute(dict(target.config), _base(config))
        assert isinstance(settings, dict)
        made[name] = Guarded(factory(name, settings, clock, config.mode))
    return made


def _absolute(value: Json, base: Path) -> Json:
    """Files that a target names are relative to the configuration's folder: secrets do not lie in the bundle."""
    if isinstance(value, list):
        return [_absolute(one, base) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: str(base / one) if isinstance(one, str) and key.endswith("_file") else _absolute(one, base)
        for key, one in value.items()
    }


def _base(config: Config) -> Path:
    return config.file.resolve().parent if config.file is not None else Path.cwd()
