"""The command line. `main.run` is its start; each other file is a family of commands.

Enters: words, the configuration, the environment. Leaves: text or JSON on stdout, `error:` and
`hint:` on stderr, an exit code: 0 done, 1 refused or failed, 2 misused, 3 done but not well
(something is quarantined or still being revoked). Always: foreign text is escaped before it is
shown, and a secret is shown only where a command says so.
"""
