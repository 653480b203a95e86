"""OAuth towards servers: the gateway as a client that has a token of its own (MCP 2025-11-25, *Authorization*).

The flow itself (discovery by RFC 9728 and RFC 8414, registration, PKCE, resource indicators, refresh) is the MCP SDK's.
Ours are the guards around it, where its tokens are kept, and when a person is asked.
"""
