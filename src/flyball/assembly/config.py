"""The one configuration file, `flyball.yaml`: what this process is, where it listens, where its state lies.

Whom it governs, and how, is the bundle's matter, not this file's. Every field has a default and
may be set by the environment as FLYBALL_<FIELD> or FLYBALL_<SECTION>_<FIELD>, which wins over the
file. An unknown field is an error: a misspelt safeguard must not be a safeguard left off. All
fields are described in docs/configuration.md; a test holds that page to this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from flyball.assembly.config_ext_authz import ExtAuthzConfig, read_ext_authz
from flyball.assembly.config_http import HttpGatewayConfig, read_http
from flyball.assembly.config_listening import Listening
from flyball.assembly.config_postgresql import PostgresqlGatewayConfig, check_postgresql, read_postgresql
from flyball.assembly.config_reader import Reader
from flyball.assembly.config_values import split_address
from flyball.kernel.errors import ConfigError
from flyball.kernel.hosts import is_loopback
from flyball.policy import yaml
from flyball.policy.diagnostics import Diagnostic, Mark, Problems, Severity

FILE_NAME = "flyball.yaml"
NOT_SETTINGS = frozenset(
    {"FLYBALL_CONFIG", "FLYBALL_ADDR", "FLYBALL_SVID", "FLYBALL_SVID_FILE", "FLYBALL_CA_FILE", "FLYBALL_CACHE"}
)
"""Variables with our prefix that are not fields of the configuration."""

_CELL = re.compile(r"[a-z][a-z0-9-]{0,15}")
_NODE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_DOMAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class ListenConfig(Listening):
    """Where the control API listens, over HTTP. `listen` and `unix` may be empty, not both.

    Attributes:
        public_url: the origin that callers use, where it is not the address itself (a proxy before us).
        max_body: bytes of a request's body at most.
        max_connections: connections at most.
    """

    public_url: str
    max_body: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class DecisionConfig(ListenConfig):
    """Where the decision plane listens (AuthZEN).

    Attributes:
        client_ca: PEM file of the authorities that enforcement points' certificates chain to, or None.
        workers: threads that serve.
        max_wait_ms: how long a decision may wait for its record to be durable; then it is refused.
    """

    client_ca: Path | None
    workers: int
    max_wait_ms: int


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """The reserved disk for fences and revocations: `path`, and `size` in bytes, allocated at once."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class DevConfig:
    """The development trust domain: the folder (`dir`) of its key and bundle, and its name (`trust_domain`)."""

    dir: Path
    trust_domain: str


@dataclass(frozen=True, slots=True)
class SealConfig:
    """Where the sealing key comes from, if not from the file `seal_key`.

    Attributes:
        command: a program and its arguments, run once at the start; it prints the key. Empty for none.
        wrapped: a file that the command gets on its standard input (a wrapped key), or None for nothing.
        timeout_ms: how long it may take.
    """

    command: tuple[str, ...]
    wrapped: Path | None
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class TimingConfig:
    """Times in milliseconds.

    Attributes:
        undelivered_ms: a credential that nobody acknowledged for this long is taken back.
        sweep_ms: how often targets are compared with the leases, both ways.
        sweep_grace_ms: what is younger than this at a target is left alone by the sweep.
    """

    undelivered_ms: int
    sweep_ms: int
    sweep_grace_ms: int


@dataclass(frozen=True, slots=True)
class LogConfig:
    """`level` (debug, info, warning, error) and `format` (auto, json, console) of the log on stderr."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked; every path is absolute.

    Attributes:
        file: where it was read from, None when it is all defaults and environment.
        mode: `dev` or `production`; production refuses what is only good for trying out.
        state_dir: the folder of everything that lasts; private to the user that runs us.
        cell: names the store's domain; part of every id.
        node: this process's name in records.
        issuer: our own identifier: `iss` and `aud` of task tokens, `aud` of workload tokens.
        bundle: the folder of profiles, policies and targets.
        anchor: the file outside the store that remembers how far it had come.
        admin_token_file: the local operator's token, made at the first start.
        keys_dir: our signing keys (task tokens, receipts, checkpoints), made at the first start.
        seal_key: the key under which secrets and data keys are sealed.
        public_keys: where the public keys are written, to verify receipts and checkpoints offline.
    """

    file: Path | None
    mode: str
    state_dir: Path
    cell: str
    node: str
    issuer: str
    bundle: Path
    anchor: Path
    admin_token_file: Path
    keys_dir: Path
    seal_key: Path
    public_keys: Path
    control: ListenConfig
    decision: DecisionConfig
    ext_authz: ExtAuthzConfig
    postgresql_gateway: PostgresqlGatewayConfig
    http_gateway: HttpGatewayConfig
    seal: SealConfig
    journal: JournalConfig
    dev: DevConfig
    timing: TimingConfig
    log: LogConfig

    @property
    def store(self) -> Path:
        """The embedded store's file. It lies in the state directory, whose lock guards it."""
        return self.state_dir / "store.db"


SECTIONS: Mapping[str, type] = {
    "control": ListenConfig,
    "decision": DecisionConfig,
    "ext_authz": ExtAuthzConfig,
    "postgresql_gateway": PostgresqlGatewayConfig,
    "http_gateway": HttpGatewayConfig,
    "seal": SealConfig,
    "journal": JournalConfig,
    "dev": DevConfig,
    "timing": TimingConfig,
    "log": LogConfig,
}


class ConfigRefused(ConfigError):
    """A configuration that cannot be used. `diagnostics` holds every finding, each with its place."""

    def __init__(self, file: str, diagnostics: tuple[Diagnostic, ...]) -> None:
        errors = [found for found in diagnostics if found.severity is Severity.ERROR]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(f"{file} has {count}", code="config_refused", hint="docs/configuration.md lists every field")
        self.diagnostics = diagnostics


def all_fields() -> list[str]:
    """Every field's dotted name, as it stands in the file."""
    names = [field.name for field in fields(Config) if field.name != "file" and field.name not in SECTIONS]
    for section, kind in SECTIONS.items():
        names += [f"{section}.{written(field.name)}" for field in fields(kind)]
    return names


def written(field: str) -> str:
    """A field's name in the file: times are written with their unit (`15s`), so without `_ms`."""
    return field.removesuffix("_ms")


def find(path: Path | None, env: Mapping[str, str]) -> Path | None:
    """The file that `load` will read: the one named, else FLYBALL_CONFIG, else ./flyball.yaml if there is one.

    Raises:
        ConfigError: a file was named and is not there.
    """
    named = path or (Path(env["FLYBALL_CONFIG"]) if env.get("FLYBALL_CONFIG") else None)
    if named is None:
        return Path(FILE_NAME) if Path(FILE_NAME).is_file() else None
    if not named.is_file():
        raise ConfigError(f"there is no configuration file {named}", code="config_missing", hint="see --config")
    return named


def load(path: Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """Read and check the configuration.

    Args:
        path: the file; else FLYBALL_CONFIG, else ./flyball.yaml where there is one, else defaults.
        env: the environment (none is read when it is None).

    Raises:
        ConfigRefused: it cannot be used; every fault is in `diagnostics`.
        ConfigError: the file is not there or cannot be read.
    """
    env = env or {}
    file = find(path, env)
    problems = Problems()
    name = str(file) if file else "the environment"
    root: yaml.Node | None = None
    if file is not None:
        try:
            data = file.read_bytes()
        except OSError as fault:
            raise ConfigError(f"{file} cannot be read: {fault.strerror}", code="config_missing") from fault
        if data.strip():
            root = yaml.parse(file.name, data, problems)
    if problems.failed:
        raise ConfigRefused(name, problems.all())
    base = file.resolve().parent if file else Path.cwd()
    mark = Mark(file.name if file else "environment")
    root_reader = Reader("", root, env=env, base=base, problems=problems, mark=mark)
    config = _read(root_reader, file)
    root_reader.refuse_unknown(set(all_fields()), NOT_SETTINGS)
    if not problems.failed:
        _check(config, problems, mark)
    if problems.failed:
        raise ConfigRefused(name, problems.all())
    return config


def _read(top: Reader, file: Path | None) -> Config:
    state = top.path("state_dir", Path(".flyball"))
    keys = top.path("keys_dir", state / "keys")
    control, decision = (top.section(name) for name in ("control", "decision"))
    seal, journal, dev, timing, log = (top.section(name) for name in ("seal", "journal", "dev", "timing", "log"))
    command = seal.command("command")
    if command:
        top.refuse_beside("seal_key", "`seal.command` gives the sealing key already")
    mode = top.choice("mode", ("dev", "production"), "dev")
    return Config(
        file=file,
        mode=mode,
        state_dir=state,
        cell=top.name("cell", "local", _CELL),
        node=top.name("node", "node-1", _NODE),
        issuer=top.url("issuer", "" if mode == "production" else "https://flyball.localhost"),
        bundle=top.path("bundle", Path("bundle")),
        anchor=top.path("anchor", state / "anchor" / "anchor.json"),
        admin_token_file=top.path("admin_token_file", state / "admin.token"),
        keys_dir=keys,
        seal_key=top.path("seal_key", keys / "seal.key"),
        public_keys=top.path("public_keys", state / "public-keys.json"),
        control=ListenConfig(
            listen=control.address("listen", "127.0.0.1:7611"),
            unix=control.optional_path("unix", state / "control.sock"),
            unix_mode=control.octal("unix_mode", 0o600),
            tls_cert=control.optional_path("tls_cert", None),
            tls_key=control.optional_path("tls_key", None),
            public_url=control.url("public_url", ""),
            max_body=control.size("max_body", 64 << 10, least=1 << 10, most=4 << 20),
            max_connections=control.whole("max_connections", 1024, least=1, most=65_536),
        ),
        decision=DecisionConfig(
            listen=decision.address("listen", "127.0.0.1:7612"),
            unix=decision.optional_path("unix", state / "decision.sock"),
            unix_mode=decision.octal("unix_mode", 0o600),
            tls_cert=decision.optional_path("tls_cert", None),
            tls_key=decision.optional_path("tls_key", None),
            public_url=decision.url("public_url", ""),
            max_body=decision.size("max_body", 64 << 10, least=1 << 10, most=4 << 20),
            max_connections=decision.whole("max_connections", 1024, least=1, most=65_536),
            client_ca=decision.optional_path("client_ca", None),
            workers=decision.whole("workers", 1, least=1, most=64),
            max_wait_ms=decision.duration("max_wait", 2000, least=10, most=60_000),
        ),
        ext_authz=read_ext_authz(top.section("ext_authz")),
        postgresql_gateway=read_postgresql(top.section("postgresql_gateway")),
        http_gateway=read_http(top.section("http_gateway")),
        seal=SealConfig(
            command=command,
            wrapped=seal.optional_path("wrapped", None),
            timeout_ms=seal.duration("timeout", 10_000, least=10, most=300_000),
        ),
        journal=JournalConfig(
            path=journal.path("path", state / "journal" / "journal"),
            size=journal.size("size", 8 << 20, least=1 << 20, most=1 << 30),
        ),
        dev=DevConfig(
            dir=dev.path("dir", state / "dev"),
            trust_domain=dev.name("trust_domain", "flyball.dev", _DOMAIN),
        ),
        timing=TimingConfig(
            undelivered_ms=timing.duration("undelivered", 30_000, least=1000, most=3_600_000),
            sweep_ms=timing.duration("sweep", 60_000, least=1000, most=86_400_000),
            sweep_grace_ms=timing.duration("sweep_grace", 60_000, least=1000, most=86_400_000),
        ),
        log=LogConfig(
            level=log.choice("level", ("debug", "info", "warning", "error"), "info"),
            format=log.choice("format", ("auto", "json", "console"), "auto"),
        ),
    )


def _check(config: Config, problems: Problems, mark: Mark) -> None:
    if config.mode == "production" and not config.issuer:
        problems.error("missing_field", mark, "production needs an `issuer`", "the https URL that names this Flyball")
    for name, place in (("control", config.control), ("decision", config.decision)):
        _check_listener(name, place, problems, mark)
    http, gateway = config.http_gateway, config.postgresql_gateway
    if http.on:
        _check_listener("http_gateway", http, problems, mark)
    if gateway.on:
        _check_listener("postgresql_gateway", gateway, problems, mark)
        check_postgresql(gateway, problems, mark)
    if config.ext_authz.on:
        _check_listener("ext_authz", config.ext_authz, problems, mark)
    for name, asked in (("decision", config.decision), ("ext_authz", config.ext_authz)):
        if asked.client_ca is not None and asked.tls_cert is None:
            problems.error("tls", mark, f"`{name}.client_ca` asks for TLS", f"set {name}.tls_cert and {name}.tls_key")
    if config.seal.wrapped is not None and not config.seal.command:
        problems.error("seal", mark, "`seal.wrapped` is for a command", "set seal.command")
    if config.store in (config.anchor, config.journal.path):
        problems.error("same_file", mark, "the store, the anchor and the journal are three files")
    if config.mode == "production":
        gateways = (config.postgresql_gateway, config.http_gateway)
        listeners = (config.control, config.decision, config.ext_authz, *gateways)
        secrets = (config.seal_key, config.admin_token_file, *(one.tls_key for one in listeners))
        for path in secrets:
            if path is not None and path.exists() and path.stat().st_mode & 0o077:
                mode = path.stat().st_mode & 0o777
                problems.error("key_file", mark, f"{path} is open to other users ({mode:04o})", f"chmod 600 {path}")


def _check_listener(
    name: str,
    place: ListenConfig | ExtAuthzConfig | PostgresqlGatewayConfig | HttpGatewayConfig,
    problems: Problems,
    mark: Mark,
) -> None:
    if not place.listen and place.unix is None:
        problems.error("listen", mark, f"`{name}` listens nowhere", f"set {name}.listen or {name}.unix")
    if (place.tls_cert is None) != (place.tls_key is None):
        problems.error("tls", mark, f"`{name}` has one of tls_cert and tls_key", "TLS needs both")
    if place.listen and place.tls_cert is None and not is_loopback(split_address(place.listen)[0]):
        problems.error(
            "plaintext",
            mark,
            f"`{name}.listen` would speak without TLS to other machines on {place.listen}",
            f"set {name}.tls_cert and {name}.tls_key, or listen on 127.0.0.1",
        )
    # The kernel's limit (sockaddr_un): a longer path fails at start with a message that names no field.
    if place.unix is not None and len(str(place.unix).encode()) > 107:
        problems.error("unix_path", mark, f"`{name}.unix` is longer than the 107 bytes that a socket's path may have")


def require_production_ready(config: Config, *, connectors: Mapping[str, str], dev_domains: frozenset[str]) -> None:
    """What can only be seen once the bundle is read: nothing that is for trying out, in production.

    Args:
        connectors: target → kind of its connector.
        dev_domains: trust domains that the bundle marks as development ones.

    Raises:
        ConfigError: `dev_in_production`.
    """
    if config.mode != "production":
        return
    fakes = sorted(target for target, kind in connectors.items() if kind == "memory")
    if fakes:
        raise ConfigError(
            f"targets that are only in memory cannot be used in production: {', '.join(fakes)}",
            code="dev_in_production",
            hint="name a real connector, or set `mode: dev`",
        )
    if dev_domains:
        raise ConfigError(
            f"development trust domains cannot be used in production: {', '.join(sorted(dev_domains))}",
            code="dev_in_production",
            hint="name the trust bundle of a real SPIFFE issuer, or set `mode: dev`",
        )
