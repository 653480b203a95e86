"""Tool definitions, pinned by hash: what a person approved is what a model is shown and what can be called.

A server that changes a tool's description, schema or annotations after its approval (a "rug pull") has that tool
taken away until a person has looked again. Its instructions are pinned the same way: they reach a model too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Object, Value
from flyball.kernel.errors import ConfigError
from flyball.kernel.private_files import make_dir, write_private

VERSION: Final = 1
INSTRUCTIONS: Final = "instructions"


def fingerprint(value: Value) -> str:
    """`sha256:…` over a definition, every member but `_meta`, whatever their order."""
    shown = {name: inner for name, inner in value.items() if name != "_meta"} if isinstance(value, dict) else value
    return "sha256:" + hashlib.sha256(frames.dumps(frames.ordered(shown))).hexdigest()


@dataclass(frozen=True, slots=True)
class Pins:
    """What was approved of one server: hashes by tool's name, and its instructions' (empty: it had none)."""

    tools: Mapping[str, str] = field(default_factory=dict)
    instructions: str = ""

    def holds(self, tool: Object) -> bool:
        """Whether this is a tool's approved definition."""
        name = tool.get("name")
        return isinstance(name, str) and self.tools.get(name) == fingerprint(tool)


@dataclass(frozen=True, slots=True)
class Change:
    """What an approval would change."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    instructions: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone or self.instructions)


def of_server(tools: Sequence[Object], instructions: Value) -> Pins:
    """The pins of a server as it is now."""
    named = {str(tool["name"]): fingerprint(tool) for tool in tools if isinstance(tool.get("name"), str)}
    return Pins(named, fingerprint(instructions) if isinstance(instructions, str) and instructions else "")


def compare(old: Pins, new: Pins) -> Change:
    """From what was approved to what is."""
    return Change(
        added=tuple(name for name in new.tools if name not in old.tools),
        changed=tuple(name for name in new.tools if name in old.tools and old.tools[name] != new.tools[name]),
        gone=tuple(name for name in old.tools if name not in new.tools),
        instructions=old.instructions != new.instructions,
    )


def load(file: Path) -> dict[str, Pins]:
    """The pins of a file, by server; none where there is no file.

    Raises:
        ConfigError: `pins`: the file is not one of pins.
    """
    try:
        document = frames.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise _broken(file) from fault
    servers = document.get("servers") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("version") != VERSION or not isinstance(servers, dict):
        raise _broken(file)
    found: dict[str, Pins] = {}
    for name, one in servers.items():
        tools = one.get("tools") if isinstance(one, dict) else None
        instructions = one.get(INSTRUCTIONS, "") if isinstance(one, dict) else None
        if not isinstance(tools, dict) or not isinstance(instructions, str):
            raise _broken(file)
        found[name] = Pins({tool: str(pin) for tool, pin in tools.items()}, instructions)
    return found


def save(file: Path, pins: Mapping[str, Pins]) -> None:
    """Write the pins, whole or not at all; nobody but the owner may change the file.

    Raises:
        ConfigError: `pins`: it cannot be written.
    """
    servers = {
        name: {"tools": dict(sorted(one.tools.items())), INSTRUCTIONS: one.instructions}
        for name, one in sorted(pins.items())
    }
    text = json.dumps({"version": VERSION, "servers": servers}, indent=2) + "\n"
    try:
        make_dir(file.parent)
        write_private(file, text.encode(), mode=0o644)
    except OSError as fault:
        raise ConfigError(f"cannot write {file}: {fault.strerror}", code="pins") from fault


def _broken(file: Path) -> ConfigError:
    return ConfigError(
        f"{file} is no file of approved tools", code="pins", hint="`flyball mcp approve` writes it; move this one away"
    )
