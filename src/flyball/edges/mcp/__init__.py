"""The MCP edge: bytes between clients, servers and the decision plane.

Each gateway is a process of its own beside the client, and an enforcement point of its own identity. It speaks to
Flyball over the network like any other (the SDK for the task, AuthZEN for the checks), since whatever parses a
foreign server's bytes should not live in the governor's process. `enforcement.mcp` says what the messages mean.
"""
