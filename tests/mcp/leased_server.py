"""A server on standard streams with one tool: which credential it was started with, and how often it was greeted."""

from __future__ import annotations

import base64
import json
import os
import sys

greeted = 0
for line in sys.stdin.buffer:
    message = json.loads(line)
    ident, method = message.get("id"), message.get("method")
    if method == "initialize":
        greeted += 1
        info = {"name": "leased", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    elif method == "tools/list":
        result = {"tools": [{"name": "query", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        found = os.environ.get("DATABASE_URI", "none")
        told = {"uri": found, "pid": os.getpid(), "greeted": greeted, "svid": "FLYBALL_SVID_FILE" in os.environ}
        told["coded"] = base64.b64encode(found.encode()).decode()
        result = {"content": [{"type": "text", "text": json.dumps(told)}]}
    else:
        result = {}
    if ident is not None:
        print(json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}), flush=True)
