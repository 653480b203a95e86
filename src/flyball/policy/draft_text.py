"""Pieces of text that drafts are made of, and safe YAML for names that somebody else chose."""

from __future__ import annotations

import json
import re

HEAD = """\
profile: {name}
purpose: DECIDE what this is for, in one sentence
agents: [{agents}]                    # DECIDE which agents may run it
inputs:
{inputs}time: {{ttl: 1h, heartbeat: 60s}}
# today: result(ACTION)       # DECIDE: the tool that tells the date; otherwise the plane's clock (UTC)
allow:
"""
#: A bundle.yaml to begin with, for a folder that has none. It is sound as it stands, and governs nobody yet.
FRAME = """\
name: {name}
version: "1"
owners:
  house: {{contact: house@example.org}}                # DECIDE: who answers for the agent
agents:
  {agent}: {{ids: ["spiffe://example.org/agent/{agent}"], owner: house}}   # DECIDE: how the agent proves who it is
identity:
  trust_domains:
    example.org: {{dev: true}}                          # DECIDE: your trust domain; `dev` is for a trial alone
resource_types:
  tool:
# Asks for each call and reports each result. Only what somebody other than the agent reports is believed.
peps:
  gateway:
    identity: {{spiffe: "spiffe://example.org/pep/gateway"}}   # DECIDE: what stands before the tools
    actions: ["*"]
    may_report: true
"""
AGENT, VOUCHER = "agent", "spiffe://example.org/app/chat"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off"}


def slug(name: str) -> str:
    """A name as profiles and sheets may have it."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63] or "draft"


def scalar(text: str) -> str:
    """`text` as one YAML scalar: plain where that is safe, else in double quotes with everything escaped."""
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return json.dumps(text, ensure_ascii=True)


def remark(text: str, most: int = 100) -> str:
    """`text` on one line of a comment, printable ASCII only, cut where it is long."""
    flat = " ".join("".join(char if 32 <= ord(char) < 127 else " " for char in text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
