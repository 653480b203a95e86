-- Tasks that delegate to children, and the labels that follow an agent's instance into its later tasks.
ALTER TABLE task ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN instance TEXT NOT NULL DEFAULT '';
-- Asked at every end: which tasks have children that are not closed.
CREATE INDEX task_parent ON task(parent) WHERE parent <> '' AND state <> 'closed';

-- What an instance has touched. Rows are only added, until an operator says that the instance is fresh.
CREATE TABLE instance_label(
  principal TEXT NOT NULL,
  instance TEXT NOT NULL,
  label TEXT NOT NULL,
  agent TEXT NOT NULL,
  task TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  cell TEXT NOT NULL,
  home TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY(principal, instance, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX instance_label_agent ON instance_label(agent);
