"""The compiled decision plane, as `flyball.policy.engine` and `flyball.stores.sqlite` see it.

Bytes named `…_json` are UTF-8 JSON; their shapes stand beside the Rust types they become.
Calls that may wait (`Core.check` with `wait`, `Core.drain_events`, `Writer.commit`) let other
Python threads run and must not be made on the main thread. Any call in a forked child raises
`ForkedError`.
"""

from collections.abc import Sequence
from typing import final

class CoreError(Exception):
    """A call that could not be carried out. args: (code, detail)."""

class PolicyLoadError(CoreError):
    """A bundle that cannot be loaded. args: (code, detail, diagnostics_json)."""

class ForkedError(CoreError):
    """The process has forked since the core was made."""

class StoreConflict(CoreError):
    """A guard of a unit of work did not hold; nothing of it was written."""

class StoreUnavailable(CoreError):
    """The store could not make it durable (full, read-only, locked, closed, queue full)."""

@final
class Verdict:
    effect: str
    reasons: tuple[str, ...]
    decision: str
    digest: str
    policies: tuple[str, ...]
    reaction: str | None
    approval: str | None
    """The reference under which a person is asked (`require_approval`, `step_up`), or the one that an allow used up."""

@final
class Writer:
    def __new__(cls, path: str, *, queue_limit: int = 65536) -> Writer: ...
    def commit(
        self,
        statements: Sequence[tuple[str, Sequence[int | float | str | bytes | None], int | None]],
        records: Sequence[tuple[str | None, str, int, bytes, bytes | None]],
    ) -> list[int]:
        """Run the statements and append the records, in one transaction; return the records' sequence numbers.

        A statement is (sql, parameters, expected changed rows or None); a record is
        (task, kind, at_ms, body, sealed).
        """
    def query(
        self, sql: str, parameters: Sequence[int | float | str | bytes | None], limit: int = 100_000
    ) -> list[tuple[int | float | str | bytes | None, ...]]:
        """Read with one statement, on one of a small pool of read-only connections of the writer's own SQLite.

        Python's sqlite3 module must not open a store that this process has open: it is a second copy
        of SQLite, POSIX locks are the process's, and the two copies do not see each other's. Measured:
        readers that saw half of a transaction, a writer that failed with "locking protocol".
        More than `limit` rows is an error (`StoreUnavailable`); lets other Python threads run.
        """
    def head(self) -> tuple[int, bytes]:
        """The last durable sequence number and chain hash."""
    def stats_json(self) -> bytes: ...
    def close(self) -> None:
        """Write what is queued, then close. Later commits raise `StoreUnavailable`."""

@final
class Core:
    def __new__(
        cls,
        *,
        cell: str,
        node: str,
        epoch: int,
        deployment_key: bytes,
        writer: Writer | None = None,
        max_wait_ms: int = 2000,
    ) -> Core: ...
    def load(self, compiled_json: bytes) -> bytes:
        """Validate a compiled bundle and swap it in whole; raise `PolicyLoadError` and keep the old one."""
    @staticmethod
    def validate(compiled_json: bytes) -> bytes:
        """Validate only. Returns warnings as JSON; raises `PolicyLoadError`."""
    def open(self, spec_json: bytes) -> None:
        """Put a task whose `task_opened` record is durable into the live table.

        Members for intent, all optional: `instance` (which run of the agent it is; else its principal),
        `labels` (names that the instance starts with), `plan` (a list, as `declare_plan` takes it);
        for a child `parent` (a live task's id), `actions` (a narrower list) and `allot` ({slot: "amount"};
        by default all that is left). A child's `child_opened` record is durable before this returns.

        Raises `CoreError`: `malformed`, `profile_unknown`, `task_exists`, `task_fenced`, `parent_unknown`,
        `parent_not_open`, `child_too_deep`, `child_wider` (more than its parent has), `plan_malformed`,
        `plan_not_in_profile`."""
    def restore(self, spec_json: bytes, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """The same after a restart: apply the changes that stand in the task's records, in order.

        A record is (body, sealed). What stays in memory only as values stands in the sealed parts, so
        they are needed as they were written. Parents come before their children: a child whose parent
        is not live, or never recorded it, is fenced."""
    def set_counters(self, counters: Sequence[tuple[str, str, int]]) -> None:
        """Load counters across tasks: (key, unit, used in 1/10000ths)."""
    def check(
        self,
        task: str,
        pep: str,
        action: str,
        resource_type: str,
        resource_id: str,
        args_json: bytes,
        *,
        binding: str = "inproc",
        wait: bool = True,
    ) -> Verdict:
        """Decide one action of a live task. Returns only once the record is durable, unless the
        action's access class is `buffered`. Never raises for a denial.

        `binding`: how the task's proof was shown: `inproc`, `pep:…`, or the task's own `jkt:…` or
        `uid:…`. Without `wait` a durable class is refused (`record_failed`): there is no allow
        without its record. A core without a writer keeps no records; it is for tests."""
    def evaluate(self, request_json: bytes, pep: str) -> Verdict:
        """Decide without a task, for a PEP that may assert subjects (AuthZEN request shape)."""
    def report_result(self, task: str, pep: str, decision: str, result_json: bytes, meta_json: bytes = b"{}") -> bytes:
        """Take note of an allowed call's result, once, from the enforcement point that asked for it.

        `meta_json`: `{"labels": [...], "rows": n, "bytes": n, "ms": n}`, all optional; the plane's own counts
        hold where they are higher. Returns, once the record is durable,
        `{"result": n, "kept": m, "self_reported": bool, "full": bool}`: the n-th result of that action, and how many
        entries of it are remembered. `self`, and any enforcement point that is the agent's own process, is
        self-reported: recorded, and nothing is kept.

        Raises `CoreError`: `task_unknown`, `task_fenced`, `pep_may_not_report`, `pep_mismatch`, `decision_unknown`,
        `already_reported`, `malformed`; `StoreUnavailable` where the record is not durable (report again)."""
    def return_charge(self, task: str, pep: str, decision: str) -> None: ...
    def declare_plan(self, task: str, plan_json: bytes, by: str) -> None:
        """Hold a task to the effects that its agent means to make:
        `[{"action": "send_email", "count": 2, "args": {"recipients": ["a@b.c"]}}]`. It only narrows.

        Raises `CoreError`: `plan_too_late` (the task has the label `outside`), `plan_exists`, `plan_malformed`,
        `plan_not_in_profile`, `task_unknown`, `task_fenced`."""
    def settle_approval(self, task: str, decision: str, approved: bool, by: str) -> bytes:
        """Settle a pending decision by its reference. Only for the control plane, never for a task's token.

        Returns `{"call": digest, "outcome": "approved" | "refused"}` once the record is durable. Raises `CoreError`:
        `approval_unknown`, `approval_expired`, `approval_settled`, `task_unknown`, `task_fenced`."""
    def approvals(self, task: str | None = None) -> list[bytes]:
        """What is asked for: `{"task","decision","call","action","resource":{"id","type"},"rule","kind","asked_ms",
        "until_ms","state"}`; `kind` is `require_approval` or `step_up`, `state` is `pending`, `approved`, `used`,
        `refused` or `expired`."""
    def memory_json(self, task: str) -> bytes | None:
        """What a task is known to have touched, for operators; no values: `{"task","labels","plan","results":
        [{"action","n","pep","kept","by"}],"breaches":{kind: n},"entries","bytes","full","approvals","done","missing",
        "parent","children","instance"}`. `missing`: what the profile's `must` still wants."""
    def heartbeat(self, task: str) -> int:
        """Count a heartbeat; return the milliseconds until the next is due.

        Raises `CoreError`: `task_unknown`, `task_fenced`, `heartbeat_missed`, `task_expired`."""
    def deaf(self, ms: int) -> None:
        """The process could not receive for `ms`: heartbeat deadlines move by that, hard ends do not."""
    def due(self, limit: int = 1000) -> list[tuple[str, str]]:
        """Tasks whose time has come: (task, `heartbeat_missed` or `hard_end`)."""
    def suspend(self, task: str) -> bool: ...
    def park(self, task: str) -> bool: ...
    def resume(self, task: str) -> bool: ...
    def freeze(self, task: str) -> bool: ...
    def fence(self, task: str, cause: str) -> bool:
        """Fence for good. True if this call did it. From its return on no check of the task is allowed."""
    def fence_agent(self, agent: str, cause: str) -> list[str]:
        """Fence every task of an agent; the ids of those that this call fenced."""
    def fence_owner(self, owner: str, cause: str) -> list[str]:
        """Fence every task of an owner's agents; the ids of those that this call fenced."""
    def close(self, task: str) -> None:
        """Forget a fenced task whose leases are all settled. What a child did not use goes back to its
        parent; where the profile's `must` was not met an event `must_missing` says so."""
    def tasks(self, agent: str | None = None, owner: str | None = None) -> list[str]: ...
    def state_json(self, task: str) -> bytes | None: ...
    def drain_events(self, limit: int, timeout_ms: int) -> list[bytes]:
        """Wait for and take events, each a JSON object: `deviation` (task, decision, reaction, reasons),
        `reactions_degraded` (profile, task, decision: too many hard reactions in a minute, this one was a freeze),
        `approval_asked` (task, decision, kind), `child_fenced` (task, parent), `must_missing` (task, missing)."""
    def stats_json(self) -> bytes:
        """Counts since the start: `decided`, `answers` and `gaps` by reason, `tasks`, `counters`; `p50_us`
        and `p99_us` (text) of the in-process checks."""

@final
class Edge:
    def __new__(cls, core: Core, config_json: bytes) -> Edge: ...
    def start(self) -> bytes:
        """Listen; returns the bound addresses as JSON."""
    def lend(self, task: str, credential: str, lease: str, secret: str) -> None:
        """Requests of the task that need this credential carry the secret from now on."""
    def take_back(self, lease: str) -> bool: ...
    def lent(self, task: str, credential: str) -> str | None: ...
    def renew(self) -> bytes:
        """Look at the files of certificates again; what each TLS place found: `[{"place","changed","problem"}]`. Lets
        other threads run."""
    def drain(self) -> None:
        """Health checks answer NOT_SERVING from now on; requests are answered until `stop`."""
    def stop(self, drain_ms: int = 2000) -> None: ...

@final
class PgGateway:
    """The PostgreSQL gateway, on threads of its own."""

    def __new__(cls, core: Core, config_json: bytes) -> PgGateway: ...
    def start(self) -> bytes:
        """Listen; returns the bound addresses as JSON."""
    def renew(self) -> bytes:
        """See `Edge.renew`."""
    def stop(self) -> None:
        """Close it; live sessions end."""
    def lend(self, task: str, credential: str, lease: str, place_json: bytes, secret: str) -> None:
        """Take over a lease that is ACTIVE. `place_json`: `{"target","host","port","user","database","ca_pem"?,
        "search_path","functions"?,"triggers"?,"foreign_tables"?}`. May look a name up: lets other threads run.

        Raises `CoreError`: `gateway_target` (no safe session can be opened there), `gateway_stopped`."""
    def take_back(self, lease: str) -> bool:
        """Let go of a lease: its sessions end, its secret is wiped. True if it was lent."""
    def lent(self, task: str, credential: str) -> str | None:
        """The newest lease that is lent for a credential of a task."""
    def ticket(self, task: str, credential: str, ttl_ms: int, renew: str | None = None) -> tuple[str, str]:
        """A ticket for a credential that is lent: (user, secret). `renew` is the user of one of the same task and
        credential, which gets a new secret. Raises `CoreError`: `not_lent`."""

@final
class HttpGateway:
    """The HTTP gateway, on threads of its own."""

    def __new__(cls, core: Core, config_json: bytes) -> HttpGateway: ...
    def start(self) -> bytes:
        """Listen; returns the bound addresses as JSON."""
    def renew(self) -> bytes:
        """See `Edge.renew`."""
    def stop(self) -> None:
        """Close it; live connections end."""
    @staticmethod
    def new_key() -> str:
        """A key for the interception authority, PEM."""
    def know(self, upstreams_json: bytes, key_pem: str) -> str | None:
        """Go on with these upstreams (a list, as in crates/broker/src/settings.rs). Where some are intercepted: the
        authority's certificate for their hosts, PEM. Raises `CoreError`: `gateway_target`, `gateway_authority`."""
    def lend(self, task: str, credential: str, lease: str, upstream: str, secret: str) -> None:
        """Take over a lease that is ACTIVE: the credential of a task at an upstream."""
    def take_back(self, lease: str) -> bool:
        """Let go of a lease: what its tickets opened closes. True if it was lent."""
    def lent(self, task: str, credential: str) -> str | None:
        """The newest lease that is lent for a credential of a task."""
    def ticket(self, task: str, credential: str, ttl_ms: int) -> tuple[str, str]:
        """A ticket for a credential that is lent: (name, secret). Raises `CoreError`: `not_lent`."""

def confine_namespaces() -> None:
    """Leave the host's network, mounts, IPC and process table. Needs root."""

def confine_proc() -> None:
    """Mount the own process table; for the first process of a new one."""

def confine_user(uid: int, gid: int) -> None:
    """Become a user without groups, for good."""

def confine_files(read: list[str], write: list[str], connect: list[int]) -> bool:
    """Give up all files and TCP ports but these; False where the kernel keeps only a part of that."""

def confine_calls() -> None:
    """Refuse the system calls that lead out."""

def canonical(value_json: bytes) -> bytes: ...
def build_info_json() -> bytes: ...
