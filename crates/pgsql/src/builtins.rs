//! PostgreSQL's own functions, settings and catalogs that need a word of their own.

/// Volatile, and yet they write nothing that anybody else sees: clocks, dice, sizes, what is locked.
/// A volatile function that is not here is refused.
const HARMLESS_VOLATILE: &[&str] = &[
    "amvalidate",
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "current_query",
    "pg_advisory_unlock_all",
    "pg_blocking_pids",
    "pg_column_compression",
    "pg_column_size",
    "pg_database_size",
    "pg_get_publication_tables",
    "pg_get_sequence_data",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_current_wal_lsn",
    "pg_lock_status",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_sequence_last_value",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_xact_status",
    "random",
    "random_normal",
    "setseed",
    "timeofday",
    "uuidv4",
    "uuidv7",
    "unique_key_recheck",
    "pg_stat_get_numscans",
    "txid_current",
    "txid_status",
    "pg_current_xact_id",
];

/// Not volatile, and yet they read tables that the statement does not name, or files.
const FORBIDDEN: &[&str] = &[
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_stat",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "pg_stat_file",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_show_all_file_settings",
];

/// Settings that decide what names and strings mean, or whose privileges count.
const PINNED: &[&str] = &[
    "search_path",
    "client_encoding",
    "standard_conforming_strings",
    "role",
    "session_authorization",
    "row_security",
    "backslash_quote",
    "session_replication_role",
];

/// Settings that change how results look or how plans are made, and nothing else.
const HARMLESS_SETTINGS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "intervalstyle",
    "jit",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "synchronize_seqscans",
    "timezone",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "xmlbinary",
    "xmloption",
    "constraint_exclusion",
    "escape_string_warning",
    "array_nulls",
];

/// Parts of the catalogs that hold secrets, or samples of tables' data.
const SECRET_RELATIONS: &[&str] = &[
    "pg_authid",
    "pg_shadow",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_user_mapping",
    "pg_user_mappings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_file_settings",
    "pg_backend_memory_contexts",
    "pg_shmem_allocations",
];

pub fn harmless_volatile(name: &str) -> bool {
    HARMLESS_VOLATILE.contains(&name)
}

pub fn forbidden(name: &str) -> bool {
    FORBIDDEN.contains(&name)
}

pub fn pinned(setting: &str) -> bool {
    PINNED.iter().any(|p| p.eq_ignore_ascii_case(setting))
}

pub fn harmless_setting(setting: &str) -> bool {
    HARMLESS_SETTINGS.iter().any(|p| p.eq_ignore_ascii_case(setting))
        || setting.get(..7).is_some_and(|p| p.eq_ignore_ascii_case("enable_"))
}

/// Whether the setting, pinned as it is, would be left at its very value.
pub fn keeps_pin(setting: &str, value: &str) -> bool {
    let value = value.trim_matches('\'').to_ascii_lowercase();
    match setting.to_ascii_lowercase().as_str() {
        "client_encoding" => matches!(value.as_str(), "utf8" | "utf-8" | "unicode"),
        "standard_conforming_strings" => matches!(value.as_str(), "on" | "true" | "1"),
        _ => false,
    }
}

pub fn secret_relation(name: &str) -> bool {
    SECRET_RELATIONS.contains(&name)
}

pub fn catalog_schema(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// dblink and what reaches another server or the file system by extension.
pub fn reaches_out(name: &str) -> bool {
    name.starts_with("dblink") || name.starts_with("postgres_fdw") || name.starts_with("file_fdw")
}

/// Functions of large objects.
pub fn large_object(name: &str) -> bool {
    name.starts_with("lo_") || matches!(name, "loread" | "lowrite" | "lo")
}
