"""32 clients that will not let go: connect, write, reconnect, for as long as they are let in.

Run as `python -m bench.stormers`; lines of JSON on stdin: `{"do": "start", "dsn": …}`, then
`{"do": "stop"}`, which answers with what was served and when the last statement was (monotonic ns,
comparable across the processes of one machine).

Half of the clients take the group's role with SET ROLE, which outlives the dropping of their own.
A client whose statement is refused keeps its session and goes on asking: only the server ends it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time

import psycopg

CLIENTS = 32
STATEMENTS = 8
GROUP = "bench_writer"


class Storm:
    """One storm."""

    def __init__(self, dsn: str, clients: int) -> None:
        self._dsn = dsn
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.served = self.connects = self.refused = self.killed = self.denied = 0
        self.last_ns = self.last_write_ns = self.last_login_ns = 0
        self._threads = [threading.Thread(target=self._client, args=(at,), daemon=True) for at in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> dict[str, int]:
        """End it; the counts."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        names = ("served", "connects", "refused", "killed", "denied", "last_ns", "last_write_ns", "last_login_ns")
        return {name: int(getattr(self, name)) for name in names}

    def _client(self, at: int) -> None:
        while not self._stop.is_set():
            try:
                connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=10, prepare_threshold=None)
            except psycopg.Error:
                self._count("refused")
                self._stop.wait(0.01)
                continue
            self._count("connects", "last_login_ns")
            try:
                self._session(connection, at)
            except psycopg.Error:
                self._count("killed")
            finally:
                connection.close()

    def _session(self, connection: psycopg.Connection[tuple[object, ...]], at: int) -> None:
        if at % 2:
            # Where the membership does not carry it (PostgreSQL 16 and later can say so), go on without.
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {GROUP}")
        refused = False
        number = 0
        # A session that was refused something stays: it is all that its holder has left.
        while not self._stop.is_set() and (refused or number < STATEMENTS):
            number += 1
            try:
                connection.execute("INSERT INTO ticks (at) VALUES (%s)", (time.monotonic_ns(),))
                self._count("served", "last_ns", "last_write_ns")
            except psycopg.errors.InsufficientPrivilege:
                refused = True
                self._count("denied")
            if refused:
                connection.execute("SELECT 1")
                self._count("served", "last_ns")
                self._stop.wait(0.01)

    def _count(self, name: str, *stamps: str) -> None:
        now = time.monotonic_ns()
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)
            for stamp in stamps:
                setattr(self, stamp, max(now, getattr(self, stamp)))


def main() -> int:
    """Serve lines until there are no more."""
    storm: Storm | None = None
    for line in sys.stdin:
        words = json.loads(line)
        answer: dict[str, int] = {}
        if words["do"] == "start":
            storm = Storm(words["dsn"], int(words.get("clients", CLIENTS)))
        elif words["do"] == "look" and storm is not None:
            answer = {"served": storm.served, "connects": storm.connects}
        elif words["do"] == "stop" and storm is not None:
            answer = storm.stop()
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
