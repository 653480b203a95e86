"""Room 5, enforcement: what stands between an agent and what it uses.

Enters: messages of a protocol, as bytes. Leaves: the questions that the decision plane is asked for them, and what may
pass. Nothing here decides, and nothing here does I/O: `edges` carry the bytes.
"""
