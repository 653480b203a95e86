-- What Flyball needs at a PostgreSQL 15 to 18 server, and no more. Run it as a superuser; running it again is safe.
--
--   flyball.admin      the role that Flyball logs in as (made here if missing; give it a password afterwards)
--   flyball.groups     the group roles whose members leases become, with commas between; they must exist and
--                      hold the grants. Flyball gets ADMIN on them and nothing else of them (from PostgreSQL 16 on)
--   flyball.graveyard  the role that inherits what leases leave behind (default flyball_graveyard)
--
-- It is no superuser, owns no database and may read no table. It may:
--   * make and drop roles (CREATEROLE), and put them into the listed groups (ADMIN);
--   * end their sessions (pg_signal_backend) and see whose a session is (pg_read_all_stats).
-- It takes a lease role's own privileges (for REASSIGN and DROP OWNED) only while it takes that role apart.
-- Before PostgreSQL 16 CREATEROLE can grant itself any role that is no superuser; `flyball status` says so.

DO $setup$
DECLARE
  admin     text := nullif(current_setting('flyball.admin', true), '');
  groups    text := nullif(current_setting('flyball.groups', true), '');
  graveyard text := coalesce(nullif(current_setting('flyball.graveyard', true), ''), 'flyball_graveyard');
  modern    boolean := current_setting('server_version_num')::int >= 160000;
  grp       text;
BEGIN
  IF admin IS NULL OR groups IS NULL THEN
    RAISE EXCEPTION 'set flyball.admin and flyball.groups first'
      USING HINT = 'for example: SET flyball.admin = ''flyball_admin''; SET flyball.groups = ''refunds_writer'';';
  END IF;

  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = graveyard) THEN
    EXECUTE format('CREATE ROLE %I NOLOGIN', graveyard);
  END IF;
  EXECUTE format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', graveyard);

  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = admin) THEN
    EXECUTE format('CREATE ROLE %I LOGIN', admin);
  END IF;
  EXECUTE format('ALTER ROLE %I LOGIN INHERIT CREATEROLE NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS', admin);

  IF modern THEN
    EXECUTE format('GRANT pg_signal_backend, pg_read_all_stats TO %I WITH INHERIT TRUE, SET FALSE', admin);
    EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', graveyard, admin);
  ELSE
    EXECUTE format('GRANT pg_signal_backend, pg_read_all_stats, %I TO %I', graveyard, admin);
  END IF;

  -- Before PostgreSQL 16 ADMIN cannot be had without the group's own privileges, and CREATEROLE needs none.
  FOREACH grp IN ARRAY string_to_array(groups, ',') LOOP
    grp := btrim(grp);
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = grp) THEN
      RAISE EXCEPTION 'group role % does not exist', quote_ident(grp);
    END IF;
    IF modern THEN
      EXECUTE format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', grp, admin);
    END IF;
  END LOOP;
END
$setup$;
