"""Programs that know nothing of Flyball: PostgreSQL's own psql, and an MCP client. Each is started behind it by a line
of its user's, and is spoken to as ever."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import IO

from flyball.demo.processes import end
from flyball.demo.sight import StageFault
from flyball.kernel.json import Json

FLYBALL = [sys.executable, "-m", "flyball"]


class Psql:
    """`flyball run PROFILE -- psql`, fed with statements; what it prints comes line by line, rows and words alike."""

    def __init__(self, psql: Path, profile: str, environment: Mapping[str, str]) -> None:
        line = [*FLYBALL, "run", profile, "--", str(psql), "-XAtq"]
        self._process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # apart: a word would come in the middle of a row that is not yet whole
            text=True,
            env=dict(environment),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._streams = 2
        self._lines: Queue[tuple[str, bool] | None] = Queue(1000)
        for stream, is_row in ((self._process.stdout, True), (self._process.stderr, False)):
            threading.Thread(target=self._take, args=(stream, is_row), daemon=True).start()
        self._reader: threading.Thread | None = None
        self._count, self._last = 0, deque([""], maxlen=5)

    def run(self, statement: str) -> str:
        """One statement; the first line that comes back."""
        self.send(statement)
        return self.line()

    def send(self, statement: str) -> None:
        """One statement, without waiting."""
        assert self._process.stdin is not None
        self._process.stdin.write(statement + ";\n")
        self._process.stdin.flush()

    def line(self) -> str:
        """The next line."""
        found = self._next()
        if found is None:
            raise StageFault("psql ended", "look at flyball.log in the demo's folder")
        return found[0].strip()

    def read_on(self) -> None:
        """Take what comes from now on as it comes: see `rest`. A reader that stops reading would hold psql up, and its
        last word would not be said before it is stopped itself."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def rest(self, within_s: float) -> tuple[int, list[str]]:
        """What came since `read_on`, until it ended: how many rows, and the last lines that are none."""
        assert self._reader is not None
        self._reader.join(within_s)
        if self._reader.is_alive():
            end(self._process)  # `flyball run` passes it on
            self._reader.join(within_s)
        return self._count, list(self._last)

    def _read(self) -> None:
        while found := self._next():
            line, is_row = found
            if is_row:
                self._count += 1
            else:
                self._last.append(line.strip())

    def _next(self) -> tuple[str, bool] | None:
        """The next line and whether it is a row; None after the last."""
        while self._streams:
            found = self._lines.get()
            if found is not None:
                return found
            self._streams -= 1
        return None

    def _take(self, stream: IO[str], is_row: bool) -> None:
        for line in stream:
            self._lines.put((line, is_row))
        self._lines.put(None)

    def stop(self) -> None:
        """Let it end."""
        _stop(self._process)


class McpClient:
    """A client of the Model Context Protocol, 2025-11-25, on standard streams."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=dict(environment),
                start_new_session=True,
            )
        self._number = 0
        about: dict[str, Json] = {"name": "any-client", "version": "1"}
        self._ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=about)
        self._say({"method": "notifications/initialized"})

    def tools(self) -> list[str]:
        """The names of the tools that it is shown."""
        listed = self._ask("tools/list")["tools"]
        assert isinstance(listed, list)
        return [str(one["name"]) for one in listed if isinstance(one, dict)]

    def call(self, tool: str, **args: Json) -> tuple[bool, str]:
        """Call a tool: whether it did what was asked, and what it says."""
        result = self._ask("tools/call", name=tool, arguments=args)
        content = result["content"]
        assert isinstance(content, list)
        said = " ".join(str(one.get("text", "")) for one in content if isinstance(one, dict))
        return result.get("isError") is not True, said

    def stop(self) -> None:
        """Go away, as clients do: by closing the streams."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        _stop(self._process)

    def _ask(self, method: str, **params: Json) -> dict[str, Json]:
        self._number += 1
        self._say({"id": self._number, "method": method, "params": params})
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            message = json.loads(line)
            if message.get("id") == self._number:
                if "result" not in message:
                    raise StageFault(f"{method} failed: {message.get('error')}", "look at mcp.log in the demo's folder")
                result: dict[str, Json] = message["result"]
                return result
        raise StageFault("the MCP gateway ended", "look at mcp.log in the demo's folder")

    def _say(self, message: dict[str, Json]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()


def _stop(process: subprocess.Popen[str]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    end(process)
