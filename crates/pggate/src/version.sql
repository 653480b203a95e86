-- Changes whenever a definition does: each change of a row of the catalogs leaves another xmin behind. What PostgreSQL
-- brings itself is left out. Reads catalogs that every role may read.
SELECT pg_catalog.concat_ws('/', pg_catalog.current_setting('server_version_num'), pg_catalog.count(*),
         pg_catalog.sum(pg_catalog.hashtextextended(part, 0)::numeric))
FROM (
  SELECT 'c' || oid || ':' || xmin FROM pg_catalog.pg_class WHERE oid >= 16384
  UNION ALL SELECT 'a' || attrelid || '.' || attnum || ':' || xmin FROM pg_catalog.pg_attribute
    WHERE attrelid >= 16384 AND attnum > 0
  UNION ALL SELECT 'd' || oid || ':' || xmin FROM pg_catalog.pg_attrdef
  UNION ALL SELECT 'r' || oid || ':' || xmin FROM pg_catalog.pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT 't' || oid || ':' || xmin FROM pg_catalog.pg_trigger
  UNION ALL SELECT 'k' || oid || ':' || xmin FROM pg_catalog.pg_constraint WHERE oid >= 16384
  UNION ALL SELECT 'h' || inhrelid || '.' || inhparent || ':' || xmin FROM pg_catalog.pg_inherits
  UNION ALL SELECT 'p' || oid || ':' || xmin FROM pg_catalog.pg_policy
  UNION ALL SELECT 'f' || oid || ':' || xmin FROM pg_catalog.pg_proc WHERE oid >= 16384
  UNION ALL SELECT 'o' || oid || ':' || xmin FROM pg_catalog.pg_operator WHERE oid >= 16384
  UNION ALL SELECT 'y' || oid || ':' || xmin FROM pg_catalog.pg_type WHERE oid >= 16384
  UNION ALL SELECT 'x' || oid || ':' || xmin FROM pg_catalog.pg_cast WHERE oid >= 16384
  UNION ALL SELECT 'n' || oid || ':' || xmin FROM pg_catalog.pg_namespace
  UNION ALL SELECT 'i' || indexrelid || ':' || xmin FROM pg_catalog.pg_index WHERE indexrelid >= 16384
) AS every(part)
