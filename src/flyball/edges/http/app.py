"""The control API, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from flyball.edges.http import deps, operators, problems, public, tasks
from flyball.edges.http.describe import describe
from flyball.edges.http.shell import Shell
from flyball.flow.house import House
from flyball.kernel.errors import FlyballError

MAX_BODY = 64 << 10


def create_app(house: House, *, public_url: str = "", max_body: int = MAX_BODY) -> FastAPI:
    """The control API of a house.

    Args:
        house: the running parts; handlers hand it to `flow` and look at nothing in it.
        public_url: the origin that callers use, where it is not the listener's own address.
        max_body: bytes of a request's body at most.
    """
    app = _routes()
    app.state.house = house
    app.state.public_url = public_url.rstrip("/")
    app.state.agent_places = deps.Places(deps.AGENT_PLACES)
    app.state.stopping = False  # set when the server ends: whoever waits is answered at once
    app.state.watchers = deps.Places(deps.WATCH_PLACES)
    app.state.operator_places = deps.Places(deps.OPERATOR_PLACES)
    app.add_middleware(Shell, max_body=max_body)
    return app


def bare_app() -> FastAPI:
    """The same routes without a house: for the OpenAPI document. It answers nothing."""
    return _routes()


def _routes() -> FastAPI:
    app = FastAPI(
        title="Flyball control API",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    for router in (public.router, tasks.router, operators.router):
        app.include_router(router)
    app.add_exception_handler(FlyballError, problems.of_flyball)
    app.add_exception_handler(RequestValidationError, problems.of_validation)
    app.add_exception_handler(HTTPException, problems.of_http)
    describe(app)
    return app


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = deps.THREADS
    yield
