"""The embedded store: one SQLite file, one writer, one process.

`open_store` (in `native`) is the way in. `store.SqliteStore` gathers the parts: `unit` writes,
`rows` turn tasks and leases into columns and back, `read` reads them, `log` reads the chain,
`files` guards the directory, `migrate` brings the schema up.
"""
