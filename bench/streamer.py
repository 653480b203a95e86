"""A client in the middle of a large result: says when it has begun, and at which moment the connection closed.

Reads how to connect from standard input, as JSON. The result is read from the socket as bytes, so that what a client
makes of it takes no time. The moment is one of the machine's monotonic clock, in seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

import psycopg

QUERY = b"SELECT a.aid FROM pgbench_accounts a CROSS JOIN pgbench_accounts b"
UNDER_WAY = 100_000
CHUNK = 1 << 20


def main() -> int:
    """Read until the connection ends."""
    with psycopg.connect(**json.loads(sys.stdin.readline()), autocommit=True) as connection:
        connection.pgconn.send_query(QUERY)
        connection.pgconn.flush()
        wire = connection.pgconn.socket
        os.set_blocking(wire, True)
        read = 0
        with contextlib.suppress(ConnectionError):
            while chunk := os.read(wire, CHUNK):
                if read < UNDER_WAY <= read + len(chunk):
                    print("streaming", flush=True)
                read += len(chunk)
        print(time.monotonic(), flush=True)
        connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
