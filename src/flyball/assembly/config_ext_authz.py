"""The section `ext_authz` of flyball.yaml: where Envoy asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flyball.assembly.config_listening import Listening, read_places
from flyball.assembly.config_reader import Reader


@dataclass(frozen=True, slots=True)
class ExtAuthzConfig(Listening):
    """Where Envoy asks: ext_authz over gRPC.

    Attributes:
        client_ca: PEM file of the authorities that Envoy's certificate chains to, or None.
        principal: what the name in the client's certificate counts for, as Envoy tells it.
    """

    client_ca: Path | None
    principal: str


def read_ext_authz(section: Reader) -> ExtAuthzConfig:
    """Read the section; faults go to the reader's problems."""
    return ExtAuthzConfig(
        **read_places(section),
        client_ca=section.optional_path("client_ca", None),
        principal=section.choice("principal", ("match", "required", "alone", "ignore"), "match"),
    )
