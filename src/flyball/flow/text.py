"""The one door through which foreign text reaches a screen: see `flyball.audit.text`."""

from flyball.audit.text import clean

__all__ = ["clean"]
