"""Writes the OpenAPI document: `python -m flyball.edges.http.openapi [FILE]`, by default api/openapi.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flyball.edges.http.app import bare_app
from flyball.edges.http.describe import document


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(bare_app()), indent=1, sort_keys=True) + "\n"


def main(place: Path) -> None:
    """Write it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "api/openapi.json"))
