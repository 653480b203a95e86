"""Server-sent events, as far as MCP uses them: data, ids to take a stream up again after, and how long to wait."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.enforcement.mcp.frames import MAX_FRAME

_ID_LONGEST = 1024
_PAUSE_S = 1.0


class Events:
    """The reader of one stream, also when it is taken up again."""

    def __init__(self) -> None:
        self.last = ""
        """The id of the last event that had one."""
        self.pause_s = _PAUSE_S
        """How long the server wants us to wait before we ask again."""
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._held = 0
        self._ident = ""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of the events that are whole now. An event without data has an id, or nothing to say.

        Raises:
            ValueError: one is longer than a message may be.
        """
        self._buffer += chunk
        while (at := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:at]).rstrip(b"\r")
            del self._buffer[: at + 1]
            if line:
                self._line(line)
                continue
            self.last, data = self._ident or self.last, b"\n".join(self._data)
            self._data, self._held = [], 0
            if data:
                yield data
        if len(self._buffer) + self._held > MAX_FRAME:
            raise ValueError("a message too long")

    def broken(self) -> None:
        """The stream ended within an event, perhaps: what is there of it comes again."""
        self._buffer.clear()
        self._data, self._held, self._ident = [], 0, ""

    def _line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._held += len(value)
        elif name == b"id" and b"\0" not in value and len(value) <= _ID_LONGEST:
            text = value.decode(errors="replace")
            self._ident = text if text.isprintable() and text.isascii() else ""
        elif name == b"retry" and value.isdigit() and len(value) <= 8:
            self.pause_s = int(value) / 1000
