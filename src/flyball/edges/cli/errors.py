"""How commands fail."""

from __future__ import annotations

from flyball.kernel.json import Json

FAILED, MISUSED, UNWELL = 1, 2, 3
"""Exit codes beside 0; 3 is for what was done and is not well: quarantined, or still being revoked."""


class CliError(Exception):
    """A command cannot go on. `text` becomes `error: …`, `hint` becomes `hint: …`."""

    def __init__(self, text: str, hint: str = "", *, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.exit_code = exit_code


class Refusal(CliError):
    """Flyball said no. `findings` are a refused bundle's."""

    def __init__(self, text: str, hint: str, findings: list[Json]) -> None:
        super().__init__(text, hint)
        self.findings = findings
