"""What the embedded store needs from outside: somebody who writes, reads and seals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

Value: TypeAlias = "int | float | str | bytes | None"
Row: TypeAlias = "tuple[Value, ...]"
Statement: TypeAlias = "tuple[str, Sequence[Value], int | None]"
NewRecord: TypeAlias = "tuple[str | None, str, int, bytes, bytes | None]"


class Database(Protocol):
    """The store's file as this process has it open: one write connection, a few that read."""

    def commit(self, statements: Sequence[Statement], records: Sequence[NewRecord]) -> list[int]:
        """Run the statements and append the records in one transaction; the records' sequence numbers.

        Raises:
            Conflict: a statement changed another number of rows than it had to; nothing was written.
            Unavailable: it could not be made durable; nothing may be assumed written.
        """
        ...

    def query(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        """Read with one statement, by the last commit.

        Raises:
            Unavailable: the store cannot be read.
        """
        ...

    def head(self) -> tuple[int, bytes]:
        """The last durable sequence number and chain hash."""
        ...

    def close(self) -> None:
        """Write what is queued, then close."""
        ...


class InputSealer(Protocol):
    """Seals a task's declared inputs under its data key, which the store keeps wrapped."""

    def seal_inputs(self, task: str, wrapped: bytes, plain: bytes) -> bytes:
        """Ciphertext of the canonical JSON of a task's inputs."""
        ...

    def open_inputs(self, task: str, wrapped: bytes, sealed: bytes) -> bytes:
        """What `seal_inputs` sealed.

        Raises:
            FlyballError: the key does not open it.
        """
        ...
