"""The shared gateway behind TLS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.certified import certificate, der, pem, shown
from tests.mcp.kit import ODD, McpServer
from tests.mcp.shared import listens
from tests.server import ISSUER
from tests.wait import until

from flyball.demo.postgres import free_port


def test_a_renewed_certificate_is_shown(server: McpServer, tmp_path: Path) -> None:
    """Without a restart; half of one is not, which is told once."""
    before, after, port = certificate("before", [], None), certificate("after", [], None), free_port()
    pem(tmp_path, "server", before)
    document = {"listen": f"127.0.0.1:{port}", "audience": ISSUER, "servers": {"odd": {"command": ODD}}}
    document |= {"tls_cert": "server.pem", "tls_key": "server.key"}
    (tmp_path / "servers.json").write_text(json.dumps(document))
    server.approve(*ODD, name="odd")
    words = [sys.executable, "-m", "flyball", "mcp", "serve", "--servers", "servers.json"]
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen(words, env=server.env, cwd=tmp_path, stderr=log)
    said = "the new certificate cannot be used"
    try:
        until(lambda: listens(port), 60, "the gateway listens")
        assert shown(port) == der(before)
        whole = (tmp_path / "server.pem").read_text()
        (tmp_path / "server.pem").write_text(whole[: len(whole) // 2])
        until(lambda: said in (tmp_path / "log").read_text(), 20, "it is told")
        assert shown(port) == der(before)
        pem(tmp_path, "server", after)
        until(lambda: shown(port) == der(after), 20, "the new certificate is shown")
    finally:
        gateway.terminate()
        assert gateway.wait(timeout=30) is not None
