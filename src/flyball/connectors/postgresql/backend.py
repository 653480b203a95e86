"""The PostgreSQL backend: the port's methods, each told by the module it names."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from flyball.connectors.postgresql import issue, look, names, probe, revoke, rotate
from flyball.connectors.postgresql.claim import Hold
from flyball.connectors.postgresql.config import Config, read
from flyball.connectors.postgresql.pool import Pool
from flyball.connectors.postgresql.target import Target
from flyball.plugin.v1 import (
    Claim,
    Clock,
    Found,
    Issued,
    Json,
    LeaseSpec,
    Plan,
    ProbeReport,
    Secret,
    StepOutcome,
    TargetRefused,
    canonical,
)

KIND = "postgresql"
_RECIPE = 1


def build(name: str, config: Mapping[str, Json], clock: Clock, mode: str) -> PostgresqlBackend:
    """A backend for one configured target. A lease's recipe holds such a configuration too (`recipe["config"]`),
    so a lease can be revoked after its target left the bundle.

    Raises:
        ConfigError: the configuration is not whole, or not fit for production.
    """
    return PostgresqlBackend(read(name, config, mode), clock, mode)


class PostgresqlBackend:
    """One PostgreSQL target. Thread-safe; keeps connections and nothing else."""

    def __init__(self, config: Config, clock: Clock, mode: str = "dev") -> None:
        self._mode = mode
        self._own = Target(config, Pool(config), clock)
        self._hold = Hold(self._own)
        self._lock = threading.Lock()
        self._former: dict[bytes, Target] = {canonical(dict(config.raw)): self._own}

    @property
    def kind(self) -> str:
        """`postgresql`."""
        return KIND

    def __repr__(self) -> str:
        return f"PostgresqlBackend({self._own.config.target!r})"

    def plan(self, spec: LeaseSpec) -> Plan:
        """Name and recipe. The recipe is the whole configuration as it is now, by file name where it is secret.

        Raises:
            TargetRefused: there is no such access, or the lease's id is none.
        """
        config = self._own.config
        if spec.access not in config.accesses:
            raise TargetRefused(f"target {config.target!r} has no access {spec.access!r}", code="access_unknown")
        recipe: dict[str, Json] = {
            "v": _RECIPE,
            "lease": spec.lease,
            "issuer": spec.issuer,
            "store": spec.store,
            "access": spec.access,
            "expires_ms": spec.expires_ms,
            "config": dict(config.raw),
        }
        return Plan(names.role(spec.issuer, spec.lease, spec.store), recipe)

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        """See `issue.issue`. Always at the target as it is configured now."""
        return issue.issue(self._own, plan, secret)

    def steps(self, plan: Plan) -> Sequence[str]:
        """See `revoke`."""
        del plan
        return revoke.STEPS

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        """See `revoke.run`."""
        return revoke.run(self._target(plan), step, plan, progress)

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        """See `probe.probe`."""
        return probe.probe(self._target(plan), plan, progress, secret)

    def inventory(self, issuer: str) -> Sequence[Found]:
        """See `look.inventory`."""
        return look.inventory(self._own, issuer)

    def inspect(self) -> Mapping[str, Json]:
        """See `look.inspect`."""
        return look.inspect(self._own)

    def hold(self, claim: Claim) -> None:
        """See `claim`."""
        self._hold.take(claim)

    def let_go(self) -> None:
        """Hold the target no more."""
        self._hold.let_go()

    def rotate_admin(self) -> None:
        """Give Flyball's own role a new password; see `rotate`."""
        rotate.rotate(self._own)

    def close(self) -> None:
        """Close idle connections, and hold the target no more. The backend stays usable."""
        self._hold.let_go()
        with self._lock:
            targets = list(self._former.values())
        for target in targets:
            target.pool.close()

    def _target(self, plan: Plan) -> Target:
        """The target as the lease knew it. Doors that were declared since are the new leases' affair."""
        raw = plan.recipe.get("config")
        if not isinstance(raw, dict):
            return self._own
        key = canonical(raw)
        with self._lock:
            known = self._former.get(key)
        if known is not None:
            return known
        config = read(self._own.config.target, raw, self._mode)
        target = Target(config, Pool(config), self._own.clock)
        with self._lock:
            return self._former.setdefault(key, target)
