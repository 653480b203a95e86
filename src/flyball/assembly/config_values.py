"""Addresses as the configuration writes them."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as (host, port).

    Raises:
        ValueError: it is neither.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match.group(2)) > 65_535:
        raise ValueError(f"not host:port: {text!r}")
    return match.group(1).strip("[]"), int(match.group(2))
