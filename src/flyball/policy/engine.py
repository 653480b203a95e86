"""The one door to the compiled decision plane. No other module imports `flyball._core`."""

from flyball._core._native import (
    Core,
    CoreError,
    Edge,
    ForkedError,
    HttpGateway,
    PgGateway,
    PolicyLoadError,
    StoreConflict,
    StoreUnavailable,
    Verdict,
    Writer,
    build_info_json,
)

__all__ = [
    "Core",
    "CoreError",
    "Edge",
    "ForkedError",
    "HttpGateway",
    "PgGateway",
    "PolicyLoadError",
    "StoreConflict",
    "StoreUnavailable",
    "Verdict",
    "Writer",
    "build_info_json",
]
