"""Preparing a server for Flyball, by the SQL that is shipped beside this file.

The same file serves an administrator with psql:

    psql -d shop -v ON_ERROR_STOP=1 -c "SET flyball.admin = 'flyball_admin'" \\
         -c "SET flyball.groups = 'refunds_writer'" -f setup.sql -c '\\password flyball_admin'
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from flyball.connectors.postgresql import scram
from flyball.plugin.v1 import ConfigError, Secret

GRAVEYARD = "flyball_graveyard"


def text() -> str:
    """The setup SQL as shipped."""
    return files("flyball.connectors.postgresql").joinpath("sql/setup.sql").read_text("utf-8")


def apply(
    connection: psycopg.Connection[TupleRow],
    *,
    admin: str,
    password: str,
    groups: Sequence[str],
    graveyard: str = GRAVEYARD,
) -> None:
    """Make or adjust Flyball's own role on a superuser's connection. Doing it again changes nothing.

    The groups must exist. The password goes as a SCRAM verifier.

    Raises:
        ConfigError: a group's name has a comma in it.
        psycopg.Error: the server refused.
    """
    if any("," in group for group in groups):
        raise ConfigError("a group's name cannot have a comma in it", code="target_config")
    settings = {"admin": admin, "groups": ",".join(groups), "graveyard": graveyard}
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (f"flyball.{name}", value))
    connection.execute(text().encode())
    verifier = scram.verifier(Secret(password))
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(admin), sql.Literal(verifier)))
