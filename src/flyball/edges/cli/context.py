"""What every command shares: its configuration, where Flyball is, how to answer."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.assembly import config as configuration
from flyball.assembly import local
from flyball.assembly.config import Config
from flyball.edges.cli import render
from flyball.kernel.json import Json

if TYPE_CHECKING:
    from flyball.edges.cli.client import Client

InputsOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input of the profile (repeatable)."),
]
VouchersOption = Annotated[
    list[Path] | None,
    typer.Option("--voucher", metavar="FILE", help="A signed word for inputs, in a file (repeatable)."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration (else FLYBALL_CONFIG, ./flyball.yaml)."),
]
AddrOption = Annotated[
    str,
    typer.Option(
        "--addr", metavar="URL", help="Where Flyball is: http(s)://…, unix:/… (else FLYBALL_ADDR, the configuration)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the record.")]


@dataclass(frozen=True, slots=True)
class Cli:
    """One command's surroundings."""

    config: Config
    addr: str
    as_json: bool

    @classmethod
    def of(cls, config: Path | None, addr: str = "", *, as_json: bool = False) -> Cli:
        """Read the configuration and say where Flyball is.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        loaded = configuration.load(config, os.environ)
        return cls(loaded, addr or os.environ.get("FLYBALL_ADDR", "") or _default_addr(loaded), as_json)

    def client(self) -> Client:
        """The control API, as the local operator.

        Raises:
            ConfigError: there is no operator's token to read.
        """
        from flyball.edges.cli.client import Client  # its HTTP is for those who ask

        return Client(self.addr, local.operator_token(self.config))

    def tell(self, value: Json) -> None:
        """Answer as JSON."""
        print(json.dumps(value, indent=2, ensure_ascii=True))

    def table(self, columns: tuple[str, ...], rows: list[tuple[str, ...]], *, empty: str) -> None:
        """Answer as a table."""
        render.table(columns, rows, empty=empty)


def _default_addr(config: Config) -> str:
    if config.control.unix is not None:
        return f"unix:{config.control.unix}"
    scheme = "http" if config.control.tls_cert is None else "https"
    return config.control.public_url or f"{scheme}://{config.control.listen}"
