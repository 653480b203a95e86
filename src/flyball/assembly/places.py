"""Places to listen on, as the compiled edge and gateways are told them and tell them back."""

from __future__ import annotations

from pathlib import Path

from flyball.assembly.config_listening import Listening
from flyball.assembly.config_values import split_address
from flyball.kernel.json import Json, parse


def places_of(listening: Listening, client_ca: Path | None = None) -> list[Json]:
    """What they are told. `client_ca`: the authorities that client certificates must chain to."""
    listen: list[Json] = []
    if listening.listen and listening.tls_cert is not None:
        tls: dict[str, Json] = {"addr": listening.listen, "cert_pem": str(listening.tls_cert)}
        tls |= {"key_pem": str(listening.tls_key), "client_ca_pem": None if client_ca is None else str(client_ca)}
        listen.append({"tls": tls})
    elif listening.listen:
        listen.append({"tcp": listening.listen})
    if listening.unix is not None:
        listen.append({"unix": str(listening.unix), "mode": listening.unix_mode})
    return listen


class Bound:
    """Where they came to listen, each place as its kind (`tcp`, `tls`, `unix`) and its address."""

    def __init__(self, told: bytes = b"[]") -> None:
        listed = parse(told)
        places = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        self.places = tuple((kind, str(at)) for one in places for kind, at in one.items())

    @property
    def addresses(self) -> tuple[str, ...]:
        """For the log: `kind:address`."""
        return tuple(f"{kind}:{at}" for kind, at in self.places)

    @property
    def tcp(self) -> tuple[str, int] | None:
        """The first host and port, with TLS or without."""
        return next((split_address(at) for kind, at in self.places if kind in ("tcp", "tls")), None)
