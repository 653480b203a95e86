-- One moment of a database's catalog, as one JSON value. The search path is emptied for the
-- reading, so that view definitions name everything in full. Reads catalogs that every role may read.
WITH
own AS (SELECT 16384::oid AS first),
rel AS (
  SELECT c.oid, c.relnamespace, n.nspname, c.relname, c.relkind, c.relrowsecurity
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'
),
col AS (
  SELECT a.attrelid, json_agg(a.attname ORDER BY a.attnum) AS names
  FROM pg_catalog.pg_attribute a JOIN rel ON rel.oid = a.attrelid
  WHERE a.attnum > 0 AND NOT a.attisdropped GROUP BY 1
),
child AS (SELECT inhparent, json_agg(inhrelid::int8) AS oids FROM pg_catalog.pg_inherits GROUP BY 1),
rule AS (
  SELECT ev_class, json_agg(json_build_object('name', rulename, 'event', ev_type)) AS rules
  FROM pg_catalog.pg_rewrite WHERE rulename <> '_RETURN' AND ev_enabled <> 'D' GROUP BY 1
),
trig AS (
  SELECT t.tgrelid, json_agg(json_build_object('name', t.tgname, 'bits', t.tgtype::int4 & 255,
    'function', json_build_array(n.nspname, p.proname))) AS triggers
  FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' GROUP BY 1
),
fk AS (
  SELECT k.conrelid, k.confrelid, k.confdeltype, k.confupdtype,
    (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) AS cols,
    (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u(num, n)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num) AS fcols
  FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'
),
fk_out AS (
  SELECT conrelid, json_agg(json_build_object('other', confrelid::int8, 'columns', cols, 'other_columns', fcols,
    'on_delete', confdeltype, 'on_update', confupdtype)) AS keys FROM fk GROUP BY 1
),
fk_in AS (
  SELECT confrelid, json_agg(json_build_object('other', conrelid::int8, 'columns', fcols, 'other_columns', cols,
    'on_delete', confdeltype, 'on_update', confupdtype)) AS keys FROM fk GROUP BY 1
),
-- What hangs on a relation and has an expression of its own.
part AS (
  SELECT 'pg_catalog.pg_attrdef'::regclass AS classid, oid AS objid, adrelid AS relid FROM pg_catalog.pg_attrdef
  UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid, conrelid FROM pg_catalog.pg_constraint WHERE contype = 'c'
  UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, oid, polrelid FROM pg_catalog.pg_policy
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, indexrelid, indrelid FROM pg_catalog.pg_index
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, oid, oid FROM pg_catalog.pg_class WHERE relkind = 'p'
  UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, oid, tgrelid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
),
dep AS (
  SELECT p.relid, p.classid, d.refclassid, d.refobjid
  FROM part p JOIN pg_catalog.pg_depend d ON d.classid = p.classid AND d.objid = p.objid
),
operator_proc AS (
  SELECT o.oid, o.oprname, o.oprcode AS proc FROM pg_catalog.pg_operator o, own WHERE o.oprcode >= own.first
),
type_proc AS (
  SELECT c.casttarget AS typ, c.castfunc AS proc FROM pg_catalog.pg_cast c, own WHERE c.castfunc >= own.first
  UNION SELECT c.castsource, c.castfunc FROM pg_catalog.pg_cast c, own WHERE c.castfunc >= own.first
  UNION SELECT k.contypid, d.refobjid FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = k.oid, own
    WHERE k.contypid <> 0 AND d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid >= own.first
),
rel_proc AS (
  SELECT dep.relid, dep.refobjid AS proc FROM dep, own
    WHERE dep.refclassid = 'pg_catalog.pg_proc'::regclass AND dep.refobjid >= own.first
      AND dep.classid <> 'pg_catalog.pg_trigger'::regclass
  UNION SELECT dep.relid, o.proc FROM dep JOIN operator_proc o ON o.oid = dep.refobjid
    WHERE dep.refclassid = 'pg_catalog.pg_operator'::regclass
  UNION SELECT a.attrelid, t.proc FROM pg_catalog.pg_attribute a JOIN type_proc t ON t.typ = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped
),
rel_fn AS (
  SELECT r.relid, json_agg(json_build_array(n.nspname, p.proname)) AS fns
  FROM rel_proc r JOIN pg_catalog.pg_proc p ON p.oid = r.proc JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  GROUP BY 1
),
seq AS (
  SELECT relid, json_agg(oid) AS oids FROM (
    SELECT dep.relid, dep.refobjid::int8 AS oid FROM dep JOIN pg_catalog.pg_class c ON c.oid = dep.refobjid
    WHERE dep.refclassid = 'pg_catalog.pg_class'::regclass AND c.relkind = 'S'
    UNION SELECT d.refobjid, d.objid::int8 FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND c.relkind = 'S' AND d.deptype IN ('a', 'i')) x GROUP BY 1
),
pol AS (
  SELECT dep.relid, json_agg(DISTINCT dep.refobjid::int8) AS oids FROM dep
  WHERE dep.classid = 'pg_catalog.pg_policy'::regclass AND dep.refclassid = 'pg_catalog.pg_class'::regclass
    AND dep.refobjid <> dep.relid GROUP BY 1
)
SELECT json_build_object(
  'database', current_database(),
  'relations', (SELECT json_agg(json_strip_nulls(json_build_object(
      'oid', rel.oid::int8, 'schema', rel.nspname, 'name', rel.relname, 'kind', rel.relkind,
      'columns', col.names, 'children', child.oids, 'rules', rule.rules, 'triggers', trig.triggers,
      'references', fk_out.keys, 'referenced', fk_in.keys, 'row_security', rel.relrowsecurity,
      'policy_reads', pol.oids, 'functions', rel_fn.fns, 'sequences', seq.oids,
      'definition', CASE WHEN rel.relkind = 'v' AND rel.nspname NOT IN ('pg_catalog', 'information_schema')
                         THEN pg_catalog.pg_get_viewdef(rel.oid) END)))
    FROM rel LEFT JOIN col ON col.attrelid = rel.oid LEFT JOIN child ON child.inhparent = rel.oid
    LEFT JOIN rule ON rule.ev_class = rel.oid LEFT JOIN trig ON trig.tgrelid = rel.oid
    LEFT JOIN fk_out ON fk_out.conrelid = rel.oid LEFT JOIN fk_in ON fk_in.confrelid = rel.oid
    LEFT JOIN rel_fn ON rel_fn.relid = rel.oid LEFT JOIN seq ON seq.relid = rel.oid LEFT JOIN pol ON pol.relid = rel.oid),
  'functions', (SELECT json_agg(json_build_object(
      'schema', n.nspname, 'name', p.proname, 'kind', p.prokind, 'volatility', p.provolatile,
      'least', p.pronargs - p.pronargdefaults - (p.provariadic <> 0)::int,
      'most', CASE WHEN p.provariadic <> 0 THEN 1000 ELSE
        greatest(p.pronargs, CASE WHEN p.prokind = 'p' THEN coalesce(array_length(p.proallargtypes, 1), 0) ELSE 0 END) END,
      'builtin', p.oid < own.first,
      'extension', p.oid >= own.first AND l.lanname IN ('c', 'internal') AND p.prokind <> 'p' AND EXISTS (
        SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
          AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e')))
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang, own),
  'operators', coalesce((SELECT json_agg(json_build_array(o.oprname, n.nspname, p.proname))
    FROM operator_proc o JOIN pg_catalog.pg_proc p ON p.oid = o.proc
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace), '[]'),
  'types', coalesce((SELECT json_agg(json_build_array(t.typname, n.nspname, p.proname))
    FROM type_proc x JOIN pg_catalog.pg_type t ON t.oid = x.typ JOIN pg_catalog.pg_proc p ON p.oid = x.proc
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE NOT (x.typ < (SELECT first FROM own))), '[]')
)::text
