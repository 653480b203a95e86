"""MCP over standard streams: one message a line, bounded; and the server as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from flyball.enforcement.mcp.frames import MAX_FRAME, Message, raw_of
from flyball.kernel.errors import ConfigError

GRACE_S: Final = 2.0
_CHUNK: Final = 64 << 10
TOO_LONG: Final = b"\x00"
"""Stands for a line that was longer than a message may be: no message, and so it is answered."""


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, empty ones left out. No more than one message and one read are held."""
    buffer = bytearray()
    skipping = False
    while chunk := await reader.read(_CHUNK):
        buffer += chunk
        while (at := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:at]).strip()
            del buffer[: at + 1]
            if skipping or len(line) > MAX_FRAME:
                skipping = False
                yield TOO_LONG
            elif line:
                yield line
        if len(buffer) > MAX_FRAME:
            skipping = True
            buffer.clear()
    if buffer.strip() and not skipping:
        yield bytes(buffer).strip()


class Child:
    """A server that runs as our child and speaks on its standard streams. Its stderr is ours."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start it, in a process group of its own.

        Raises:
            ConfigError: `server_command`: it cannot be run.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=dict(environment),
                start_new_session=True,
            )
        except OSError as fault:
            raise ConfigError(
                f"the server {command[0]!r} cannot be run: {fault.strerror}",
                code="server_command",
                hint="what stands after -- is the server's own command line",
            ) from fault
        return cls(process)

    async def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            OSError: it has ended.
        """
        if self._stdin.is_closing():
            raise BrokenPipeError("the server has ended")
        async with self._lock:
            self._stdin.write(raw_of(message).replace(b"\n", b" ") + b"\n")
            await self._stdin.drain()

    def messages(self) -> AsyncIterator[bytes]:
        """What it says, line by line, until it ends."""
        return lines(self._stdout)

    async def end(self) -> None:
        """Close its input, wait, SIGTERM, wait, SIGKILL: its whole process group. Twice is once."""
        self._stdin.close()
        for sign in (None, signal.SIGTERM, signal.SIGKILL):
            if sign is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, sign)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE_S)
                break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it started and left behind


class Standard:
    """Our own standard streams, as the client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls) -> Standard:
        """Take over stdin and stdout.

        Raises:
            ConfigError: `stdio`: they are no pipes, sockets or terminals.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
            transport, protocol = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb", 0)
            )
        except (ValueError, OSError) as fault:
            raise ConfigError(
                "stdin and stdout are no pipes", code="stdio", hint="a client starts this command and speaks to it"
            ) from fault
        return cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))

    async def send(self, message: Message) -> None:
        """Send one message; where the client is gone it goes nowhere."""
        with contextlib.suppress(OSError):
            async with self._lock:
                self._writer.write(raw_of(message).replace(b"\n", b" ") + b"\n")
                await self._writer.drain()

    def messages(self) -> AsyncIterator[bytes]:
        """What the client says, line by line, until it goes."""
        return lines(self._reader)
