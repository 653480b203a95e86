"""Looking at the target: what carries our prefix, and whether our own role has more than it needs."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.connectors.postgresql import names
from flyball.connectors.postgresql.config import Config
from flyball.connectors.postgresql.faults import clean
from flyball.connectors.postgresql.pool import Bounded
from flyball.connectors.postgresql.target import Target
from flyball.plugin.v1 import Found, Json, TargetRefused, TargetUnavailable

_NEEDED = ("pg_signal_backend", "pg_read_all_stats")
_BEFORE_16 = "before PostgreSQL 16, CREATEROLE can grant itself any role but a superuser"


def inventory(target: Target, issuer: str) -> list[Found]:
    """Every role of this issuer's, with its sessions. Only our own prefix (lease rule 9)."""
    prefix = names.prefix(issuer)
    with target.pool.use(target.config.primary, target.config.database) as connection:
        rows = connection.execute(
            """
            SELECT r.rolname::text, shobj_description(r.oid, 'pg_authid'),
                   (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)
              FROM pg_roles r WHERE starts_with(r.rolname::text, %s) ORDER BY 1
            """,
            (prefix,),
        ).fetchall()
    now = target.clock.wall_ms()
    found = []
    for name, comment, sessions in rows:
        made = names.made_ms(str(name))
        age = None if made is None else max(0, now - made)
        lease, store = names.lease_of(str(name), comment), names.store_of(str(name))
        found.append(Found(str(name), lease, age, int(sessions), store))
    return found


def inspect(target: Target) -> Mapping[str, Json]:
    """Version, what our role has too much or too little, dangling sessions, and each door."""
    config = target.config
    with target.pool.use(config.primary, config.database) as connection:
        version = connection.info.server_version
        excess, missing = _own_role(connection, config)
        row = connection.execute(
            """
            SELECT count(*) FROM pg_stat_activity a WHERE usesysid IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.oid = a.usesysid)
            """
        ).fetchone()
        public = connection.execute(
            """SELECT nspname::text FROM pg_namespace
                WHERE nspname !~ '^pg_' AND has_schema_privilege('public', oid, 'CREATE')"""
        ).fetchall()
    notes: list[Json] = [f"anybody may create objects in schema {clean(str(schema))}" for (schema,) in public]
    if version < 160000:
        notes.append(_BEFORE_16)
    return {
        "version": f"{version // 10000}.{version % 10000}",
        "role": config.admin.user,
        "excess": list(excess),
        "missing": list(missing),
        "notes": notes,
        "dangling_sessions": 0 if row is None else int(row[0]),
        "doors": _doors(target),
    }


def _own_role(connection: Bounded, config: Config) -> tuple[list[str], list[str]]:
    row = connection.execute(
        """
        SELECT rolsuper, rolcreatedb, rolbypassrls, rolreplication, rolcreaterole,
               (SELECT count(*) FROM pg_database d WHERE d.datdba = r.oid)
          FROM pg_roles r WHERE rolname = current_user
        """
    ).fetchone()
    if row is None:
        return [], ["it does not exist"]
    excess = [
        text for text, has in zip(("SUPERUSER", "CREATEDB", "BYPASSRLS", "REPLICATION"), row[:4], strict=True) if has
    ]
    if row[5]:
        excess.append(f"owner of {row[5]} databases")
    missing = [] if row[4] else ["CREATEROLE"]
    groups = {group for access in config.accesses.values() for group in access.groups}
    wanted = {*_NEEDED, config.graveyard, *groups}
    members = connection.execute(
        """
        SELECT g.rolname::text, bool_or(m.admin_option)
          FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles me ON me.oid = m.member
         WHERE me.rolname = current_user GROUP BY 1
        """
    ).fetchall()
    held = {str(name): bool(admin) for name, admin in members}
    excess += [f"member of {clean(name)}" for name in sorted(held) if name not in wanted and not name.startswith("fb_")]
    missing += [f"member of {name}" for name in (*_NEEDED, config.graveyard) if name not in held]
    if connection.info.server_version >= 160000:  # before, CREATEROLE is enough, and membership would be too much
        missing += [f"ADMIN on {group}" for group in sorted(groups) if not held.get(group, False)]
    else:
        excess += [f"member of {group}" for group in sorted(groups & held.keys())]
    return excess, [] if row[0] else missing


def _doors(target: Target) -> list[Json]:
    found: list[Json] = []
    for door in target.config.doors:
        facts: dict[str, Json] = {"name": door.name, "kind": door.kind, "host": door.host, "port": door.port}
        if door.kind != "pooler":
            try:
                with target.pool.use(door) as connection:
                    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                facts["reached"] = True
                facts["standby"] = bool(row is not None and row[0])
            except (TargetUnavailable, TargetRefused) as error:
                facts["reached"] = False
                facts["why"] = error.detail
        facts["pinned"] = bool(door.system_identifier or door.certificate_sha256)
        facts["tls"] = door.sslmode
        found.append(facts)
    return found
