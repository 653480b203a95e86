"""6 Written down: what happened, so that it can be proved later and not quietly changed.

Enters: records, one kind per fact (`record`), through a unit of work (`ports`). Leaves: a hash
chain (`chain`), signed checkpoints of it (`checkpoint`), a memory of it outside the store
(`anchor`), proof or disproof of all that (`verify`), and views: `show`, `export`, `text`.
Always holds: audit is evidence, never the control (invariant 8); what is foreign is escaped
before it is shown; nothing here opens a unit of work.
"""
