"""Certificates of the PostgreSQL gateway that are renewed while it listens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.certified import certificate, pem
from tests.forked import running
from tests.pggateway.kit import GatewayServer
from tests.pggateway.test_certificates import AGENT, COUNT, told, words
from tests.wait import until

from flyball.demo.postgres import EmbeddedPostgres


def issue(folder: Path, agent: str) -> None:
    """Another authority, and certificates of it: the server's, and one for the agent under that name."""
    authority = certificate(f"ca-{agent}", [], None)
    pem(folder, agent, certificate("agent", [AGENT], authority))
    pem(folder, "server", certificate("server", [], authority))
    pem(folder, "ca", authority)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Its certificates, and the agent's (`before`)."""
    made = tmp_path / "svids"
    made.mkdir()
    issue(made, "before")
    return made


@pytest.fixture
def server(tmp_path: Path, postgres: EmbeddedPostgres, folder: Path) -> Iterator[GatewayServer]:
    """A gateway with those."""
    made = GatewayServer(
        tmp_path / "home",
        postgres,
        f"listen: 127.0.0.1:0\ntls_cert: {folder}/server.pem\ntls_key: {folder}/server.key\ntls_ca: {folder}/ca.pem\n"
        f"client_ca: {folder}/ca.pem\nclient_trust_domain: flyball.dev",
    )
    with running(made):
        yield made


def opens(said: dict[str, object]) -> bool:
    """Whether a log-in is let in. Its client trusts the newest authority alone."""
    try:
        psycopg.connect(**said).close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        return False
    return True


def test_log_ins_go_by_the_certificate_they_were_shown(server: GatewayServer, folder: Path) -> None:
    """Sessions go on; log-ins are bound to the new certificate; an SVID of the authority before is refused, and one of
    the new authority is not. Half a file changes nothing."""
    with server.task() as task:
        bound = {**task.connect("orders").kwargs(), "channel_binding": "require"}
        with (
            psycopg.connect(**bound, autocommit=True) as by_ticket,  # type: ignore[arg-type]
            psycopg.connect(**words(task, folder, "before"), autocommit=True) as by_svid,  # type: ignore[call-overload]
        ):
            issue(folder, "after")
            os.kill(server.pid, signal.SIGHUP)
            until(lambda: opens(bound), 10, "a log-in is bound to the new certificate")
            assert opens(words(task, folder, "after"))
            assert "unknown ca" in told(words(task, folder, "before"))
            for session in (by_ticket, by_svid):
                assert session.execute(COUNT).fetchone() == (2000,)

            whole = (folder / "server.pem").read_text()
            (folder / "server.pem").write_text(whole[: len(whole) // 2])
            until(lambda: server.status()["certificates"], 20, "status tells")
            assert opens(bound)
            assert opens(words(task, folder, "after"))
            assert "unknown ca" in told(words(task, folder, "before"))
