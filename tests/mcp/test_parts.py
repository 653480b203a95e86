"""The clients and servers that people use, unchanged, with the gateway between them."""

from __future__ import annotations

import asyncio
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mcp import Client
from tests.mcp.kit import NODE, NPM, ODD, McpServer, npm_server, part
from tests.mcp.shared import Shared, text
from tests.server import ROOT

PARTS = ("--profile", "parts")
FETCH = [str(ROOT / ".venv" / "bin" / "mcp-server-fetch"), "--ignore-robots-txt", "--allow-private-ips"]


def test_the_filesystem_server(server: McpServer, tmp_path: Path) -> None:
    """Reading within the folder that the task is for works; writing, and a folder that the server itself would allow,
    are denied."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "a.txt").write_text("hello")
    command = npm_server("filesystem", str(tmp_path))
    server.approve(*command)

    async def work() -> None:
        async with Client(server.params(*PARTS, "-i", f"folder={mine}/", "--", *command)) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"read_text_file", "list_directory"}
            assert "hello" in text(await client.call_tool("read_text_file", {"path": f"{mine}/a.txt"}))
            elsewhere = await client.call_tool("read_text_file", {"path": f"{other}/a.txt"})
            assert "argument_out_of_bounds" in text(elsewhere)
            wrote = await client.call_tool("write_file", {"path": f"{mine}/b.txt", "content": "x"})
            assert wrote.is_error
            assert not (mine / "b.txt").exists()

    asyncio.run(work())


def test_the_everything_server(server: McpServer) -> None:
    """Text, images, progress, resources and prompts; what the profile has no word of (the server's environment) is
    neither shown nor called."""
    command = npm_server("everything")
    server.approve(*command)
    steps: list[float] = []

    async def progress(at: float, _total: float | None, _message: str | None) -> None:
        steps.append(at)

    async def work() -> None:
        async with Client(server.params(*PARTS, "--", *command)) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names == {"echo", "get-sum", "get-tiny-image", "trigger-long-running-operation"}
            assert "Echo: hi" in text(await client.call_tool("echo", {"message": "hi"}))
            assert "42" in text(await client.call_tool("get-sum", {"a": 40, "b": 2}))
            assert (await client.call_tool("get-sum", {"a": 4000, "b": 2})).is_error
            image = await client.call_tool("get-tiny-image", {})
            assert any(one.type == "image" for one in image.content)
            slow = {"duration": 0.2, "steps": 4}
            done = await client.call_tool("trigger-long-running-operation", slow, progress_callback=progress)
            assert not done.is_error
            assert steps == [1, 2, 3, 4]
            assert (await client.call_tool("get-env", {})).is_error
            uri = "demo://resource/static/document/features.md"
            assert "MCP" in (await client.read_resource(uri)).contents[0].text  # type: ignore[union-attr]
            prompt = await client.get_prompt("simple-prompt")
            assert prompt.messages

    asyncio.run(work())


@contextmanager
def page(words: bytes) -> Iterator[str]:
    """A site on loopback that says the same on every page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()
        thread.join()


def test_the_fetch_server(server: McpServer) -> None:
    """The site that the task is for, and no other."""
    server.approve(*FETCH)
    with page(b"a page of this site") as mine, page(b"another") as other:

        async def work() -> None:
            async with Client(server.params(*PARTS, "-i", f"site={mine}", "--", *FETCH)) as client:
                assert "a page of this site" in text(await client.call_tool("fetch", {"url": f"{mine}a"}))
                assert (await client.call_tool("fetch", {"url": f"{other}a"})).is_error

        asyncio.run(work())


def driven(words: list[str], lines: list[list[object]], env: dict[str, str]) -> list[object]:
    """What the TypeScript client answered to each line."""
    script = str(ROOT / "tests" / "mcp" / "npm" / "client.mjs")
    part(NODE.exists() and (NPM / "@modelcontextprotocol" / "client").exists(), "the TypeScript client", "parts.sh")
    done = subprocess.run(
        [str(NODE), script, str(NPM), *words],
        input="".join(json.dumps(line) + "\n" for line in lines),
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_typescript_client_on_standard_streams(server: McpServer) -> None:
    """It sees what the task may call; a denial is a result that it can read."""
    gateway = [sys.executable, "-m", "flyball", "mcp", "--profile", "odd", "--", *ODD]
    lines: list[list[object]] = [["list"], ["call", "plain", {}], ["call", "send", {"to": "K-9", "body": "b"}]]
    env = {**server.agent_env, "FLYBALL_CONFIG": str(server.config)}
    names, plain, denied = driven(["legacy", "stdio", *gateway], lines, env)
    assert "look" in names  # type: ignore[operator]
    assert "hidden" not in names  # type: ignore[operator]
    assert plain["content"][0]["text"] == "K-2"  # type: ignore[call-overload,index]
    assert denied["isError"] is True  # type: ignore[call-overload,index]
    assert "origin" in denied["content"][0]["text"]  # type: ignore[call-overload,index]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_typescript_client_over_http(shared: Shared, mode: str) -> None:
    """Both revisions, at a server of the SDK's for Python behind the shared gateway."""
    token = shared.token(f"ts-{mode}")
    words = [mode, "http", f"{shared.url}/mcp/mail", token]
    lines: list[list[object]] = [
        ["list"],
        ["call", "count", {"upto": 2}],
        ["call", "begin_task", {"profile": "shared"}],
        ["list"],
        ["call", "count", {"upto": 3}],
        ["call", "mail_send", {"to": "K-1", "body": "b"}],
        ["call", "end_task", {}],
    ]
    before, early, begun, names, counted, denied, ended = driven(words, lines, shared.server.env)
    assert "count" not in before  # type: ignore[operator]
    assert early["isError"] is True  # type: ignore[call-overload,index]
    assert not begun.get("isError")  # type: ignore[attr-defined]
    assert "count" in names  # type: ignore[operator]
    assert counted["content"][0]["text"] == "counted to 3"  # type: ignore[call-overload,index]
    assert denied["isError"] is True  # type: ignore[call-overload,index]
    assert not ended.get("isError")  # type: ignore[attr-defined]
