"""Cedar's own validation, with its findings brought back to the files they come from."""

from __future__ import annotations

from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Problems


def validate_compiled(compiled: bytes, bundle: Bundle, own_schema_line: int, problems: Problems) -> None:
    """Let the decision plane validate a compiled bundle; what it finds goes to `problems`.

    Args:
        own_schema_line: the line of the compiled schema on which schema.cedarschema begins, from 1.
    """
    try:
        from flyball.policy.engine import Core, PolicyLoadError
    except ImportError:
        return
