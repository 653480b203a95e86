"""The link to one server: its command or its URL, with what it is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.edges.mcp.conversation import Link
from flyball.edges.mcp.gateway import clean
from flyball.edges.mcp.judge import Governor
from flyball.edges.mcp.leased import Leased, Lender
from flyball.edges.mcp.remote import Challenged, Remote, Schema, Shown, bearer, no_schema, settled
from flyball.edges.mcp.servers import Server
from flyball.edges.mcp.stdio import Child
from flyball.kernel.errors import ConfigError

if TYPE_CHECKING:
    from flyball.edges.mcp.oauth.client import Authorized
    from flyball.edges.mcp.oauth.logins import Logins


class Links:
    """Makes links. The gateway's own token for a server is one for all of them.

    Args:
        logins: the folder where logins are kept.
    """

    def __init__(self, logins: Path) -> None:
        self._logins = logins
        self._authorized: dict[str, Authorized] = {}

    async def to(
        self,
        name: str,
        server: Server,
        *,
        schema: Schema = no_schema,
        governor: Callable[[], Governor | None] | None = None,
    ) -> Link:
        """A link to this server.

        Args:
            name: its name.
            server: what it is.
            schema: tells a tool's input schema.
            governor: who lends it a credential of the task; without one it is given none.

        Raises:
            ConfigError: it cannot be run; `oauth_extra`: its token needs a part that is not installed.
            Unavailable: its lease was not given.
        """
        lender = None if server.wanted is None or governor is None else Lender(server.wanted, governor)
        if server.command:
            if lender is None:
                return await Child.start(server.command, clean(os.environ))
            return await Leased.start(server.command, clean(os.environ), lender)
        shown, challenged = self._shown(name, server)
        if lender is None:
            return Remote(server.url, shown, schema, challenged=challenged)
        return Remote(server.url, lender.shown(shown), schema, lender.hide, challenged)

    def _shown(self, name: str, server: Server) -> tuple[Shown, Challenged]:
        if server.oauth is None:
            return bearer(server.bearer_file), settled
        if name not in self._authorized:
            logins = logins_in(self._logins)
            from flyball.edges.mcp.oauth.client import Authorized  # noqa: PLC0415 - an extra

            self._authorized[name] = Authorized(name, server.url, server.oauth, logins)
        one = self._authorized[name]
        return one.shown, one.challenged


def logins_in(folder: Path) -> Logins:
    """The logins that are kept in a folder.

    Raises:
        ConfigError: `oauth_extra`: the part that reads them is not installed.
    """
    try:
        from flyball.edges.mcp.oauth.logins import Logins  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as fault:
        raise ConfigError(
            "OAuth towards servers is not installed", code="oauth_extra", hint="install flyball with the `oauth` extra"
        ) from fault
    return Logins(folder)
