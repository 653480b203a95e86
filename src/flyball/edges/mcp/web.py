"""Serving the shared gateway: one loop, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import uvicorn

from flyball.edges.mcp.callers import Callers
from flyball.edges.mcp.front import Front
from flyball.edges.mcp.gateway import say
from flyball.edges.mcp.judge import Settings
from flyball.edges.mcp.links import Links
from flyball.edges.mcp.servers import Served
from flyball.enforcement.mcp.pins import Pins
from flyball.kernel.certificates import ServedCertificate

RENEW_S = 5.0


async def serve(served: Served, settings: Settings, pins: Mapping[str, Pins], links: Links, *, idle_s: float) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Every task ends with it."""
    front = Front(served, Callers(settings, served.audiences, idle_s=idle_s), dict(pins), links)
    host, port = served.place
    server = uvicorn.Server(
        uvicorn.Config(
            front.app(),
            host=host,
            port=port,
            ws="none",
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=1024,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=64 << 10,
        )
    )
    server.config.load()
    certificate = None if served.tls_cert is None else ServedCertificate(served.tls_cert, served.tls_key)
    server.config.ssl = None if certificate is None else certificate.context
    say(f"serving {', '.join(f'{served.url}/mcp/{name}' for name in served.servers)}")
    tidying = asyncio.gather(front.tidy(), _renewing(certificate))
    try:
        await server.serve()
    finally:
        tidying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tidying
        await front.close()
    return 0


async def _renewing(certificate: ServedCertificate | None) -> None:
    """Have handshakes go by new files of the certificate; those that cannot be used are told once."""
    while certificate is not None:
        await asyncio.sleep(RENEW_S)
        changed, problem = await asyncio.to_thread(certificate.renew)
        if changed:
            say(
                f"the new certificate cannot be used, the old stays: {problem}"
                if problem
                else "a new certificate is shown"
            )
