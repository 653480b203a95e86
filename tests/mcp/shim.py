"""Between a client that knows no tokens and a gateway that wants one. argv: port, origin, the token's file."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

port, origin, token = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text().strip()
http = httpx.AsyncClient(timeout=httpx.Timeout(10, read=None), trust_env=False)
HOP = {"host", "content-length", "connection", "transfer-encoding", "authorization"}


async def pass_on(request: Request) -> StreamingResponse:
    headers = {key: value for key, value in request.headers.items() if key not in HOP}
    for name in {"host", "origin"} & set(request.headers):  # which name the client thought to speak to is the test's
        headers[name] = request.headers[name].replace(f":{port}", f":{origin.rpartition(':')[2]}")
    headers["authorization"] = f"Bearer {token}"
    asked = http.build_request(request.method, origin + request.url.path, headers=headers, content=await request.body())
    answer = await http.send(asked, stream=True)

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        finally:
            await answer.aclose()

    kept = {key: value for key, value in answer.headers.items() if key not in HOP}
    return StreamingResponse(chunks(), answer.status_code, kept)


app = Starlette(routes=[Route("/{path:path}", pass_on, methods=["GET", "POST", "DELETE"])])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
