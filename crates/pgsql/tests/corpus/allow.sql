-- Statements that a wide profile lets through: one a line. What drivers send at connect and to look around stands below.
SELECT 1
SELECT id, name FROM app.customers WHERE id = $1
SELECT c.name, count(*) FROM app.customers c JOIN app.orders o ON o.customer_id = c.id GROUP BY c.name HAVING count(*) > 2 ORDER BY 2 DESC LIMIT 10
SELECT * FROM app.open_orders
SELECT name FROM app.rich WHERE total > 5
WITH recent AS (SELECT * FROM app.orders WHERE placed > now() - interval '1 day') SELECT count(*) FROM recent
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY placed) FROM app.orders
SELECT id, sum(total) OVER w FROM app.orders WINDOW w AS (PARTITION BY customer_id ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT o.id, l.sku FROM app.orders o LEFT JOIN LATERAL (SELECT sku FROM app.lines WHERE order_id = o.id LIMIT 1) l ON true
SELECT EXISTS (SELECT 1 FROM app.lines WHERE order_id = 3)
SELECT array_agg(sku ORDER BY sku) FILTER (WHERE qty > 1) FROM app.lines
SELECT coalesce(note, 'none'), CASE WHEN total > 10 THEN 'big' ELSE 'small' END FROM app.orders
SELECT to_char(placed, 'YYYY-MM'), sum(total) FROM app.orders GROUP BY 1 ORDER BY 1
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM app.orders
SELECT id FROM app.orders UNION SELECT order_id FROM app.lines ORDER BY id
SELECT * FROM app.events WHERE at = '2026-01-02'
SELECT * FROM app.totals
SELECT * FROM generate_series(1, 10) AS g(n)
SELECT jsonb_build_object('id', id, 'n', name) FROM app.customers
SELECT x.key FROM jsonb_each('{"a":1}') AS x
SELECT id FROM app.customers WHERE name ILIKE '%a%' AND id IN (1, 2, 3) AND id = ANY($1)
SELECT id FROM app.customers FOR UPDATE
SELECT c FROM app.customers c
SELECT gen_random_uuid(), random(), clock_timestamp()
SELECT extract(year FROM placed) FROM app.orders
VALUES (1, 'a'), (2, 'b')
TABLE app.lines
INSERT INTO app.customers (id, name) VALUES ($1, $2) RETURNING id
INSERT INTO app.customers (id, name) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET name = excluded.name
INSERT INTO app.orders (customer_id, total) SELECT id, 0 FROM app.customers
UPDATE app.orders SET total = total + 1, note = $1 WHERE id = $2
UPDATE app.orders o SET note = c.name FROM app.customers c WHERE c.id = o.customer_id
DELETE FROM app.lines USING app.orders o WHERE o.id = order_id AND o.total = 0
WITH gone AS (DELETE FROM app.lines WHERE qty = 0 RETURNING order_id) SELECT count(*) FROM gone
MERGE INTO app.lines l USING app.orders o ON l.order_id = o.id WHEN MATCHED THEN UPDATE SET qty = 1 WHEN NOT MATCHED THEN INSERT (order_id, qty) VALUES (o.id, 1)
INSERT INTO app.audited VALUES (1, 'x')
INSERT INTO app.events VALUES ('2026-03-01', 'x')
UPDATE app.names SET name = 'x' WHERE id = 1
SELECT body FROM app.docs WHERE id = 1
TRUNCATE app.lines
SELECT nextval('app.ticket')
COPY app.lines TO STDOUT
COPY app.lines (order_id, sku) FROM STDIN WITH (FORMAT csv)
COPY (SELECT id FROM app.orders) TO STDOUT WITH CSV HEADER
EXPLAIN SELECT * FROM app.orders
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM app.orders
PREPARE p AS SELECT id FROM app.orders WHERE id = $1
EXECUTE p(3)
DEALLOCATE p
DECLARE c CURSOR FOR SELECT id FROM app.orders
FETCH 10 FROM c
CLOSE c
BEGIN
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY
COMMIT
ROLLBACK
SAVEPOINT s
ROLLBACK TO SAVEPOINT s
RELEASE SAVEPOINT s
SET TimeZone = 'UTC'
SET application_name = 'x'
SET client_encoding TO 'UTF8'
SET standard_conforming_strings = on
SET extra_float_digits = 3
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SHOW server_version
SHOW TRANSACTION ISOLATION LEVEL
DISCARD ALL
RESET ALL
-- psycopg 3: the types it does not know
SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter FROM pg_type t WHERE t.oid = to_regtype($1) ORDER BY t.oid
-- asyncpg: jit off while it looks types up, the pool's reset
SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;
SELECT t.oid, t.typelem AS elemtype, t.typtype AS kind FROM pg_catalog.pg_type AS t WHERE t.oid = $1
WITH RECURSIVE typeinfo_tree(oid, ns, name, kind, basetype, depth) AS (SELECT t.oid, n.nspname, t.typname, t.typtype, t.typbasetype, 0 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = any($1::oid[]) UNION ALL SELECT b.oid, n.nspname, b.typname, b.typtype, b.typbasetype, tt.depth + 1 FROM typeinfo_tree tt JOIN pg_type b ON b.oid = tt.basetype JOIN pg_namespace n ON n.oid = b.typnamespace) SELECT DISTINCT *, basetype::regtype::text AS basetype_name FROM typeinfo_tree ORDER BY depth DESC
-- SQLAlchemy: connect and reflection
select pg_catalog.version()
select current_schema()
show standard_conforming_strings
SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname = $1::VARCHAR AND pg_catalog.pg_class.relkind = ANY (ARRAY[$2::VARCHAR, $3::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $4::VARCHAR
SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1 FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum AND pg_catalog.pg_attribute.atthasdef) AS "default", pg_catalog.pg_attribute.attnotnull AS not_null FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > 0 AND NOT pg_catalog.pg_attribute.attisdropped WHERE pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm'])
-- JDBC: connect and DatabaseMetaData
SET extra_float_digits = 3
SET application_name = 'PostgreSQL JDBC Driver'
SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM TABLE' ELSE 'TABLE' END AS TABLE_TYPE, d.description AS REMARKS FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND c.relname LIKE 'o%' ORDER BY TABLE_TYPE, TABLE_SCHEM, TABLE_NAME
SELECT * FROM (SELECT n.nspname, c.relname, a.attname, a.atttypid, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum) WHERE c.relkind in ('r', 'p', 'v', 'f', 'm') and a.attnum > 0 AND NOT a.attisdropped) c WHERE true ORDER BY nspname, c.relname, attnum
-- pgx and node-postgres
select oid, typname from pg_type where typtype = 'b'
SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = $1
