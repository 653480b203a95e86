"""What the command line does on this machine by itself: the development trust domain, the operator's token."""

from __future__ import annotations

from pathlib import Path

from flyball.assembly.config import Config
from flyball.identity.admin import AdminTokens
from flyball.identity.dev import DevDomain
from flyball.kernel.clock import SystemClock
from flyball.kernel.secret import Secret


def dev_domain(config: Config) -> DevDomain:
    """The development trust domain of this configuration, made where there is none.

    Raises:
        ConfigError: `dev_in_production`; or its folder cannot be used.
    """
    mode = "development" if config.mode == "dev" else "production"
    domain = config.dev.trust_domain
    return DevDomain.open(config.dev.dir, mode=mode, clock=SystemClock(), trust_domain=domain)


def operator_token(config: Config) -> Secret:
    """The local operator's token: whoever can read the file is an operator.

    Raises:
        ConfigError: `key_file`: there is none yet, or it may not be read.
    """
    return AdminTokens(config.admin_token_file).reveal()


def store_file(path: Path) -> Path:
    """The store's file: `path` itself, or the one in it where it is a folder (a state directory, a backup)."""
    return path / "store.db" if path.is_dir() else path
