"""A profile that is a standing privilege by another name is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.policy.compile import load_bundle

MANIFEST = """
name: chat
version: "1"
owners: {desk: {contact: desk@flyball.dev}}
agents: {coder: {ids: ["spiffe://flyball.dev/agent/coder"], owner: desk}}
identity: {trust_domains: {flyball.dev: {dev: true}}}
resource_types: {tool: }
peps: {mcp: {identity: {uid: 4711}, actions: ["*"], may_report: true}}
"""
SHEET = """
tools: files
resource: tool
actions:
  look: {effect: read, args: {path: string}}
  list: {effect: read, args: {path: string}}
  write: {effect: write, args: {path: string}}
"""
PROFILE = """
profile: chat
purpose: Whatever comes up
agents: [coder]
time: {ttl: TTL, heartbeat: 30s}
allow:
RULES
on_deviation: deny
"""
ALL = "  - actions: [look, list, write]"
BOUNDED = "  - actions: [look, list]\n  - action: write\n    where: {path: {prefix: /srv/}}"
SOME = "  - actions: [look, write]"


@pytest.mark.parametrize(
    ("ttl", "rules", "warned"),
    [("8h", ALL, True), ("1h", ALL, True), ("59m", ALL, False), ("8h", BOUNDED, False), ("8h", SOME, False)],
)
def test_a_chat_long_task_with_every_tool_is_standing_privilege(
    tmp_path: Path, ttl: str, rules: str, warned: bool
) -> None:
    """Every action of a sheet, for an hour and more, with an effect that nothing bounds. Shorter, bounded, or with less
    it is a task."""
    for folder in ("tools", "profiles"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bundle.yaml").write_text(MANIFEST)
    (tmp_path / "tools" / "files.yaml").write_text(SHEET)
    (tmp_path / "profiles" / "chat.yaml").write_text(PROFILE.replace("TTL", ttl).replace("RULES", rules))
    found = [one for one in load_bundle(tmp_path).diagnostics if one.code == "standing_privilege"]
    assert len(found) == (1 if warned else 0), load_bundle(tmp_path).diagnostics
    if warned:
        assert found[0].file == "profiles/chat.yaml"
        assert "`write`" in found[0].message
