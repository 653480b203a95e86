"""A server looked at before anybody uses it: its tools and its instructions, for a person to approve."""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import Final

from flyball.edges.mcp.conversation import Link
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Malformed, Object, Value
from flyball.kernel.errors import Unavailable

OLD, NEW = "2025-11-25", "2026-07-28"
MAX_PAGES: Final = 64
ANSWER_S: Final = 60.0


async def look(link: Link) -> tuple[list[Object], Value]:
    """Read a server's tools and instructions; leave it.

    Raises:
        Unavailable: `server`: it does not answer as an MCP server does.
    """
    try:
        return await _Talk(link).tools()
    except (TimeoutError, OSError, Malformed) as fault:
        raise Unavailable(
            "the server does not answer as an MCP server does", code="server", hint="try it by itself"
        ) from fault
    finally:
        await link.end()


class _Talk:
    """One question after another."""

    def __init__(self, child: Link) -> None:
        self._child = child
        self._lines = child.messages()
        self._meta: Object = {}
        self._count = 0

    async def tools(self) -> tuple[list[Object], Value]:
        greeting = await self._greet()
        found: list[Object] = []
        cursor: Value = None
        for _ in range(MAX_PAGES):
            page = await self._ask("tools/list", {"cursor": cursor} if isinstance(cursor, str) else {})
            listed = (page or {}).get("tools")
            found += [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            cursor = (page or {}).get("nextCursor")
            if not isinstance(cursor, str):
                return found, greeting.get("instructions")
        raise Unavailable("the server's list of tools has no end", code="server")

    async def _greet(self) -> Object:
        """The older handshake; a server that knows only the newer revision is asked in that one."""
        us: Object = {"name": "flyball", "version": metadata.version("flyball")}
        params: Object = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": us}
        greeting = await self._ask("initialize", params)
        if greeting is not None:
            await self._child.send(frames.notification("notifications/initialized"))
            return greeting
        prefix = "io.modelcontextprotocol/"
        self._meta = {f"{prefix}protocolVersion": NEW, f"{prefix}clientCapabilities": {}, f"{prefix}clientInfo": us}
        return await self._ask("server/discover", {}) or {}

    async def _ask(self, method: str, params: Object) -> Object | None:
        """A result; None where it is an error."""
        self._count += 1
        sent: Object = {**params, **({"_meta": self._meta} if self._meta else {})}
        await self._child.send(frames.request(self._count, method, sent))
        async with asyncio.timeout(ANSWER_S):
            async for line in self._lines:
                frame = frames.frame_of(line)
                if frame.is_response and frame.id == self._count:
                    return frame.result if "result" in frame.body else None
                if frame.is_request:
                    await self._child.send(frames.error(frame.id, frames.UNKNOWN_METHOD, "not here"))
        raise OSError("the server has ended")
