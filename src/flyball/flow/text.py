"""The one door through which foreign text reaches a screen: see `flyball.audit.text`."""

from flyball.audit.text import escape as clean
from flyball.audit.text import json_line

__all__ = ["clean", "json_line"]
