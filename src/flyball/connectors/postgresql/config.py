"""A PostgreSQL target's configuration, read strictly: an unknown or missing field is refused.

kind: postgresql
database: shop                    # where leases work; further ones that hold their objects: `databases`
admin: {user: flyball_admin, password_file: /etc/flyball/orders-admin.password}
doors:
  primary: {host: db1, port: 5432, sslmode: verify-full, sslrootcert: /etc/ssl/db.pem}
  replica: {kind: standby, host: db2, port: 5432}
  pool:    {kind: pooler, host: db1, port: 6432, control: {user: …, password_file: …}}
accesses:
  refunds-writer: {group: refunds_writer, connection_limit: 5}
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flyball.plugin.v1 import ConfigError, Json, Secret, read_private

KINDS = ("primary", "standby", "pooler")
SSLMODES = ("disable", "require", "verify-ca", "verify-full")
_PREFIX = "fb_"


@dataclass(frozen=True, slots=True)
class Login:
    """A user and the private file that holds its password; the file is read anew for every login."""

    user: str
    password_file: Path

    @property
    def candidate(self) -> Path:
        """Where a rotation keeps the next password until it is known to work."""
        return self.password_file.with_name(f"{self.password_file.name}.next")

    def password(self) -> Secret:
        """The password as it stands in the file now.

        Raises:
            ConfigError: the file is missing, or open to others.
        """
        return Secret(read_private(self.password_file).decode().strip())


@dataclass(frozen=True, slots=True)
class Door:
    """One way into the target.

    `system_identifier` and `certificate_sha256` pin the server behind it. Where neither is given, the
    identity that the primary showed when the lease was issued is the pin. `control` is the login that
    must succeed beside a refused one (default: the admin); `console` is a pooler's admin console.
    """

    name: str
    kind: str
    host: str
    port: int
    database: str
    sslmode: str = "disable"
    sslrootcert: str = ""
    system_identifier: str = ""
    certificate_sha256: str = ""
    control: Login | None = None
    console: Login | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """One kind of credential: the group roles a lease role becomes a member of."""

    name: str
    groups: tuple[str, ...]
    connection_limit: int
    door: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How long anything may take (milliseconds), and how many connections a door gets."""

    connect_ms: int = 3000
    statement_ms: int = 5000
    lock_ms: int = 1000
    kill_ms: int = 5000
    hidden_ms: int = 150
    replay_ms: int = 2000
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Config:
    """The whole target. `raw` is what it was read from, and what a lease's recipe keeps."""

    target: str
    database: str
    databases: tuple[str, ...]
    admin: Login
    graveyard: str
    doors: tuple[Door, ...]
    accesses: Mapping[str, Access]
    limits: Limits
    raw: Mapping[str, Json]

    @property
    def primary(self) -> Door:
        """The door that issue and revoke write through."""
        return next(door for door in self.doors if door.kind == "primary")

    def door(self, name: str) -> Door:
        """The door of that name (checked when the configuration was read)."""
        return next(door for door in self.doors if door.name == name)


class _Fields:
    """One mapping of the configuration, of which every field must be asked for."""

    def __init__(self, where: str, value: Json) -> None:
        self._where = where
        if not isinstance(value, dict):
            raise self.wrong("must be a mapping")
        self._left = dict(value)

    def wrong(self, why: str) -> ConfigError:
        return ConfigError(f"{self._where} {why}", code="target_config", hint="see docs/connectors/postgresql.md")

    def take(self, name: str) -> Json:
        return self._left.pop(name, None)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._left.pop(name, default)
        if not isinstance(value, str) or (default is None and not value) or "\x00" in value or len(value) > 1024:
            raise self.wrong(f"needs {name!r} as a text")
        return value

    def whole(self, name: str, default: int | None, least: int, most: int) -> int:
        value = self._left.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(f"needs {name!r} as a whole number from {least} to {most}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._left.pop(name, None)
        items = [value] if isinstance(value, str) else value
        if items is None:
            return ()
        if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
            raise self.wrong(f"needs {name!r} as a list of texts")
        return tuple(str(item) for item in items)

    def done(self) -> None:
        if self._left:
            raise self.wrong(f"has unknown fields: {', '.join(sorted(self._left))}")


def read(target: str, raw: Mapping[str, Json], mode: str = "dev") -> Config:
    """The configuration of one target. `mode` is `dev` or `production`; production asks for TLS.

    Raises:
        ConfigError: anything is missing, unknown or contradicts itself.
    """
    top = _Fields(f"target {target!r}", dict(raw))
    top.take("kind")
    database = top.text("database")
    admin = _login(f"target {target!r} admin", top.take("admin"))
    graveyard = top.text("graveyard", "flyball_graveyard")
    limits = _limits(target, top.take("limits"))
    doors = _doors(target, top.take("doors"), database, mode)
    accesses = _accesses(target, top.take("accesses"), {door.name for door in doors})
    databases = tuple(dict.fromkeys((database, *top.texts("databases"))))
    top.done()
    kept = {key: value for key, value in raw.items() if key != "accesses"}
    kept["accesses"] = {a.name: {"group": list(a.groups)} for a in accesses.values()}
    return Config(target, database, databases, admin, graveyard, doors, accesses, limits, kept)


def _login(where: str, value: Json) -> Login:
    fields = _Fields(where, value)
    login = Login(fields.text("user"), Path(fields.text("password_file")))
    fields.done()
    return login


def _limits(target: str, value: Json) -> Limits:
    fields = _Fields(f"target {target!r} limits", {} if value is None else value)
    known = {
        "connect_ms": (100, 60_000),
        "statement_ms": (100, 60_000),
        "lock_ms": (10, 60_000),
        "kill_ms": (100, 60_000),
        "hidden_ms": (20, 10_000),
        "replay_ms": (0, 60_000),
        "connections": (2, 100),
    }
    default = Limits()
    read_ = {name: fields.whole(name, getattr(default, name), *bounds) for name, bounds in known.items()}
    fields.done()
    return Limits(**read_)


def _doors(target: str, value: Json, database: str, mode: str) -> tuple[Door, ...]:
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"target {target!r} has no doors", code="target_config", hint="declare `primary` at least")
    doors = tuple(_door(target, name, inner, database, mode) for name, inner in value.items())
    if sum(door.kind == "primary" for door in doors) != 1:
        raise ConfigError(f"target {target!r} needs exactly one primary door", code="target_config")
    return doors


def _door(target: str, name: str, value: Json, database: str, mode: str) -> Door:
    fields = _Fields(f"target {target!r} door {name!r}", value)
    kind = fields.text("kind", "primary" if name == "primary" else "")
    if kind not in KINDS:
        raise fields.wrong(f"needs `kind`: one of {', '.join(KINDS)}")
    host = fields.text("host")
    sslmode = fields.text("sslmode", "disable" if local(host) else "require")
    if sslmode not in SSLMODES:
        raise fields.wrong(f"needs `sslmode`: one of {', '.join(SSLMODES)}")
    if mode == "production" and sslmode == "disable" and not local(host):
        raise fields.wrong("leaves this machine without TLS: production needs at least sslmode require")
    control, console = fields.take("control"), fields.take("console")
    if console is not None and kind != "pooler":
        raise fields.wrong("has a console, which only a pooler has")
    pin = fields.text("certificate_sha256", "").replace(":", "").lower()
    if pin and (len(pin) != 64 or any(c not in "0123456789abcdef" for c in pin)):
        raise fields.wrong("needs `certificate_sha256` as 64 hexadecimal digits")
    if pin and sslmode == "disable":
        raise fields.wrong("pins a certificate without TLS")
    door = Door(
        name=name,
        kind=kind,
        host=host,
        port=fields.whole("port", 5432, 1, 65535),
        database=fields.text("database", database),
        sslmode=sslmode,
        sslrootcert=fields.text("sslrootcert", ""),
        system_identifier=str(fields.take("system_identifier") or ""),
        certificate_sha256=pin,
        control=None if control is None else _login(f"door {name!r} control", control),
        console=None if console is None else _login(f"door {name!r} console", console),
    )
    if sslmode.startswith("verify") and not door.sslrootcert:
        raise fields.wrong(f"needs `sslrootcert` for sslmode {sslmode}")
    fields.done()
    return door


def _accesses(target: str, value: Json, doors: set[str]) -> dict[str, Access]:
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"target {target!r} has no accesses", code="target_config")
    found: dict[str, Access] = {}
    for name, inner in value.items():
        fields = _Fields(f"target {target!r} access {name!r}", inner)
        groups = fields.texts("group")
        if not groups:
            raise fields.wrong("needs `group`: the role, or roles, whose member a lease becomes")
        for group in groups:
            if group.startswith(("pg_", _PREFIX)) or len(group.encode()) > 63:
                raise fields.wrong(f"cannot use {group!r}: name a group role of your own")
        door = fields.text("door", "primary")
        if door not in doors:
            raise fields.wrong(f"names door {door!r}, which is not declared")
        limit = fields.whole("connection_limit", 10, 1, 1000)
        for theirs in ("grants", "delivery"):  # Flyball's own fields, read by the bundle
            fields.take(theirs)
        fields.done()
        found[name] = Access(name, groups, limit, door)
    return found


def local(host: str) -> bool:
    """Whether the host is this machine: a socket's folder, `localhost`, or a loopback address."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
