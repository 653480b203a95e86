-- The first schema. What may never change: `record` and what its hash covers (audit/chain.py).
-- cell, home and epoch are columns from here on, so that several nodes and cells need no rewrite.

CREATE TABLE meta(
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE record(
  seq INTEGER PRIMARY KEY,
  task TEXT,
  n INTEGER,
  kind TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  body BLOB NOT NULL,
  sealed BLOB,
  hash BLOB NOT NULL
) STRICT;

-- Where each task's records are. The writer fills it a little behind the chain (crates/writer/src/catalogue.rs says
-- why): every record up to the floor is in it, beyond the floor the chain itself is looked through.
CREATE TABLE task_record(
  task TEXT NOT NULL,
  n INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(task, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE task_record_floor(
  only INTEGER PRIMARY KEY CHECK(only = 1),
  seq INTEGER NOT NULL
) STRICT;
INSERT INTO task_record_floor(only, seq) VALUES(1, 0);

CREATE TABLE counter(
  key TEXT NOT NULL,
  unit TEXT NOT NULL,
  used INTEGER NOT NULL,
  cell TEXT NOT NULL,
  home TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY(key, unit)
) STRICT, WITHOUT ROWID;

CREATE TABLE task(
  id TEXT PRIMARY KEY,
  principal TEXT NOT NULL,
  agent TEXT NOT NULL,
  owner TEXT NOT NULL,
  profile TEXT NOT NULL,
  profile_digest TEXT NOT NULL,
  bundle TEXT NOT NULL,
  state TEXT NOT NULL,
  opened_ms INTEGER NOT NULL,
  hard_end_ms INTEGER NOT NULL,
  heartbeat_ms INTEGER NOT NULL,
  binding TEXT NOT NULL,
  cause TEXT NOT NULL,
  purpose TEXT NOT NULL,
  inputs BLOB,
  attributes TEXT NOT NULL,
  cell TEXT NOT NULL,
  home TEXT NOT NULL,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A store holds every task it ever ran; what is asked for is nearly always the few that are not closed.
CREATE INDEX task_unclosed ON task(state, opened_ms) WHERE state <> 'closed';
CREATE INDEX task_agent ON task(agent, opened_ms);
CREATE INDEX task_owner ON task(owner, opened_ms);
CREATE INDEX task_opened ON task(opened_ms);

CREATE TABLE lease(
  id TEXT PRIMARY KEY,
  task TEXT NOT NULL,
  agent TEXT NOT NULL,
  owner TEXT NOT NULL,
  target TEXT NOT NULL,
  kind TEXT NOT NULL,
  access TEXT NOT NULL,
  credential TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  delivery TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  recipe TEXT NOT NULL,
  cause TEXT NOT NULL,
  step TEXT NOT NULL,
  progress TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  cell TEXT NOT NULL,
  home TEXT NOT NULL,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_task ON lease(task);
CREATE INDEX lease_target ON lease(target, name);
CREATE INDEX lease_agent ON lease(agent, created_ms);
CREATE INDEX lease_owner ON lease(owner, created_ms);
CREATE INDEX lease_created ON lease(created_ms);
CREATE INDEX lease_unsettled ON lease(state, expires_ms) WHERE state <> 'verified';

CREATE TABLE secret(
  lease TEXT PRIMARY KEY,
  sealed BLOB NOT NULL
) STRICT;

CREATE TABLE data_key(
  task TEXT PRIMARY KEY,
  wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE document(
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(kind, key)
) STRICT;
-- Receipts are asked for by task; they carry it.
CREATE INDEX document_receipt_task ON document(json_extract(value, '$.task')) WHERE kind = 'receipt';

CREATE TABLE checkpoint(
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  note BLOB NOT NULL
) STRICT;
