"""An API with a key that it gave out for good. No agent ever holds that key: the gateway uses it, while a lease lives.

Such a key cannot be made for one lease, and cannot be taken back at the API. So what is issued, counted and revoked
is its use. A lease has an entry here, with a secret of its own; who shows that secret is given the key (`kept`), and
that is the gateway, for the lease's task. Revoking closes the entry: the gateway has let go of the key by then, and
its connections with it. Entries are of this process: after a restart there is none, which is what revoked means.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flyball.plugin.v1 import (
    Clock,
    ConfigError,
    DoorProbe,
    Found,
    Issued,
    Json,
    LeaseSpec,
    Plan,
    ProbeReport,
    Secret,
    StepOutcome,
    TargetRefused,
    TargetUnavailable,
    read_private,
)

KIND = "http"
STEPS = ("deny", "cut", "forget")
NOT_ROTATED = "the API's own key stays valid; the agent never held it"
_DOOR = "custody"
#: Read by the gateway, not here (docs/connectors/http.md).
_GATEWAYS_OWN = frozenset({"ca_file"})
_SHORTEST = 8


@dataclass(slots=True)
class _Entry:
    issuer: str
    lease: str
    secret: Secret
    made_ms: int
    expires_ms: int
    store: str
    open: bool = True
    given: int = 0


def build(name: str, config: Mapping[str, Json], clock: Clock, mode: str) -> HttpBackend:
    """An API with its key in a file, or with none where it asks for none.

    Raises:
        ConfigError: a field is unknown or wrong, an access is not brokered, or the key cannot be read.
    """
    del mode

    def wrong(detail: str, hint: str = "see docs/connectors/http.md") -> ConfigError:
        return ConfigError(f"target {name!r} {detail}", code="target_config", hint=hint)

    unknown = sorted(set(config) - {"url", "secret_file", "accesses", *_GATEWAYS_OWN})
    if unknown:
        raise wrong(f"has no field {unknown[0]!r}")
    accesses, file = config.get("accesses"), config.get("secret_file")
    if not isinstance(accesses, dict) or not accesses:
        raise wrong("has no accesses")
    for access, fields in accesses.items():
        if not isinstance(fields, dict) or fields.get("delivery") != "brokered":
            raise wrong(
                f"hands out access {access!r}, and its key could not be taken back", "set `delivery: brokered` there"
            )
    if file is not None and not isinstance(file, str):
        raise wrong("has a `secret_file` that is no path")
    backend = HttpBackend(name, frozenset(accesses), None if file is None else Path(file), clock)
    try:
        backend.key()
    except TargetUnavailable as fault:
        raise wrong(fault.detail) from fault
    return backend


class HttpBackend:
    """One API."""

    def __init__(self, name: str, accesses: frozenset[str], file: Path | None, clock: Clock) -> None:
        self._name = name
        self._accesses = accesses
        self._file = file
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    @property
    def kind(self) -> str:
        """`http`."""
        return KIND

    def key(self) -> Secret:
        """The API's key as its file holds it now: a new one counts from the next lease on.

        Raises:
            TargetUnavailable: the file cannot be read, is open to others, or holds no key.
        """
        if self._file is None:
            return Secret("")
        try:
            text = read_private(self._file).decode("ascii").strip()
        except (OSError, UnicodeDecodeError, ConfigError) as fault:
            raise TargetUnavailable(f"the key of {self._name!r} cannot be read from {self._file}") from fault
        if len(text) < _SHORTEST or not text.isprintable():
            raise TargetUnavailable(f"{self._file} holds no key: one line of {_SHORTEST} characters or more")
        return Secret(text)

    def kept(self, plan: Plan, secret: Secret) -> Secret:
        """The API's key, for who shows the secret of a lease that lives.

        Raises:
            TargetRefused: the lease is not there, has expired or is being revoked, or the secret is another's.
            TargetUnavailable: the key cannot be read.
        """
        key = self.key()
        with self._lock:
            entry = self._entries.get(plan.name)
            if entry is None or not self._lives(entry) or entry.secret != secret:
                raise TargetRefused("no such lease lives", code="lease_gone")
            entry.given += 1
        return key

    def plan(self, spec: LeaseSpec) -> Plan:
        """Name and recipe.

        Raises:
            TargetRefused: no such access.
        """
        if spec.access not in self._accesses:
            raise TargetRefused(f"target {self._name!r} has no access {spec.access!r}", code="access_unknown")
        recipe: dict[str, Json] = {"issuer": spec.issuer, "lease": spec.lease, "expires_ms": spec.expires_ms}
        recipe["store"] = spec.store
        # Entries are of this process: nobody else's can be there, and there is nothing to hold.
        return Plan(f"http_{spec.lease}", recipe)

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        """Open the lease's entry, or make it again the same."""
        now, expires = self._clock.wall_ms(), plan.recipe["expires_ms"]
        assert isinstance(expires, int)
        if expires <= now:
            raise TargetRefused("the lease has expired", code="lease_expired")
        self.key()
        with self._lock:
            known = self._entries.get(plan.name)
            if known is not None and not known.open:
                raise TargetRefused("the lease is being revoked", code="lease_gone")
            if known is None:
                issuer, lease, store = (str(plan.recipe.get(name, "")) for name in ("issuer", "lease", "store"))
                known = _Entry(issuer, lease, secret, now, expires, store)
                self._entries[plan.name] = known
            known.secret = secret
        return Issued({}, {"entry": True}, expires)

    def steps(self, plan: Plan) -> Sequence[str]:
        """The steps."""
        del plan
        return STEPS

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        """Do one step."""
        del progress
        if step not in STEPS:
            raise TargetRefused(f"there is no step {step[:40]!r}", code="step_unknown")
        with self._lock:
            entry = self._entries.get(plan.name)
            if entry is None:
                return StepOutcome({"entry": "absent"}, {}, (NOT_ROTATED,) if step == "forget" else ())
            if step == "deny":
                entry.open = False
                return StepOutcome({"entry": "closed"})
            if step == "cut":
                # The gateway let go of the lease before the first step, and with it of its connections.
                given, entry.given = entry.given, 0
                return StepOutcome({"given": given})
            del self._entries[plan.name]
            return StepOutcome({"entry": "forgotten"}, {}, (NOT_ROTATED,))

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        """Ask for the key as the lease would, beside reading it ourselves."""
        del progress
        with self._lock:
            entry = self._entries.get(plan.name)
            given = 0 if entry is None else entry.given
            lives = entry is not None and self._lives(entry)
            same = entry is not None and entry.secret == secret
        try:
            self.key()
        except TargetUnavailable as fault:
            return ProbeReport((DoorProbe(_DOOR, "inconclusive", False, fault.detail[:200], given),))
        if lives and same:
            found = ("accepted", "the lease still gets the key")
        elif lives or (secret is None and entry is not None):
            found = ("inconclusive", "the entry is still there")
        else:
            found = ("refused", "no such lease lives")
        return ProbeReport((DoorProbe(_DOOR, found[0], True, found[1], given),))

    def inventory(self, issuer: str) -> Sequence[Found]:
        """Every entry of the issuer's."""
        now = self._clock.wall_ms()
        with self._lock:
            return [
                Found(name, entry.lease, now - entry.made_ms, entry.given, entry.store)
                for name, entry in sorted(self._entries.items())
                if entry.issuer == issuer
            ]

    def inspect(self) -> Mapping[str, Json]:
        """Facts for `status`."""
        excess: list[Json] = ["the key is the API's own, with all that the API lets it do"] if self._file else []
        return {"version": "static key" if self._file else "no key", "excess": excess, "doors": [{"name": _DOOR}]}

    def _lives(self, entry: _Entry) -> bool:
        return entry.open and self._clock.wall_ms() < entry.expires_ms
