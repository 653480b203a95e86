"""The story, in seven steps. Everything said to be seen was seen at the database, or is signed.

1 a task gets privilege    2 the grants hold    3 the work deviates    4 nothing of theirs is changed: the gateways
5 four ends, and our own death    6 the record is checked    7 the figures
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from flyball.demo import through
from flyball.demo.ledger_copy import cut_tail, flip_byte
from flyball.demo.narrator import Narrator
from flyball.demo.sight import StageFault
from flyball.demo.stage import AgentProcess, Stage
from flyball.demo.through import ATTACKER
from flyball.kernel.json import Json

PROFILE = "settle-refund"
LONG_READ = (
    "SELECT a.id, a.amount, b.note FROM public.orders a CROSS JOIN public.orders b "
    "CROSS JOIN generate_series(1, 200) ORDER BY a.id"
)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Tally:
    """Figures for the closing table."""

    leases: list[tuple[float, float]] = field(default_factory=list)
    denied: int = 0
    survivors: int = 0
    orphans: int = 0
    decisions: int = 0
    p50_us: str = "?"
    gone_after_s: list[float] = field(default_factory=list)

    def count_decisions(self, status: dict[str, Json]) -> None:
        """Take in the figures of one life of the server: a restart begins them anew."""
        plane = status["decisions"]
        assert isinstance(plane, dict)
        decided = int(str(plane["decided"]))
        if decided > self.decisions:
            self.p50_us = str(plane["p50_us"])
        self.decisions += decided

    def privilege_seconds(self) -> float:
        """Seconds in which some credential of a task was good, summed."""
        return sum(end - start for start, end in self.leases)


class Story:
    """Tells the story on a stage."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage = stage
        self._tell = narrator
        self._tally = Tally()
        self._began = time.monotonic()

    def play(self) -> None:
        """All seven steps. Raises `StageFault` when something was not as it must be."""
        first, opened_at, held = self._one_task_gets_privilege()
        self._the_grants_hold(first)
        self._the_work_deviates(first, opened_at, held)
        tell, stage = self._tell, self._stage
        tell.step(4, "Nothing of theirs is changed: psql and an MCP client go through Flyball")
        self._tally.denied += through.play(stage, tell, self._must, self._gone)
        self._four_ends()
        self._the_record()
        self._figures()

    def _one_task_gets_privilege(self) -> tuple[AgentProcess, float, dict[str, Json]]:
        stage, tell = self._stage, self._tell
        tell.step(1, "A task gets privilege, and only then is there any")
        tell.did(f"PostgreSQL {stage.pg_version()} started on 127.0.0.1:{stage.pg_port}: customers, orders, refunds")
        refused, said = stage.login("postgres", "a-wrong-password")
        tell.saw(f"a wrong password is refused: {said}", good=not refused)
        seconds = stage.start_flyball()
        tell.did(
            f"Flyball started in {seconds:.1f} s: embedded store, dev trust domain, bundle {stage.bundle_digest()}"
        )
        stage.start_tools()
        before = stage.roles()
        self._must(f"roles of Flyball's in the database before: {len(before)}", not before, count=len(before))
        agent = stage.agent("refund-agent")
        tell.did("refund-agent, a process of its own with a JWT-SVID, opens a task of profile settle-refund for T-1042")
        tell.note("the ticket is vouched for by the support desk; the agent's own word for it would not do")
        task = agent.ask("open", profile=PROFILE, ticket="T-1042", limit="200", voucher=stage.voucher("T-1042"))
        opened_at = time.monotonic()
        held = agent.ask("connect")
        role = str(held["role"])
        seen = stage.roles()
        self._must(f"roles now: {len(seen)}, named for its lease: {role}", [r.name for r in seen] == [role], role=role)
        mine = seen[0]
        tell.saw(
            f"member of {', '.join(mine.groups)} and nothing else; good for {mine.minutes_left:.0f} more minutes "
            f"by the database's own clock; the task is {task['task']}",
            good=mine.minutes_left < 10,
            groups=list(mine.groups),
        )
        order = agent.ask("read_order", order="1042")
        tell.saw(
            f"the shop's order tool, an enforcement point by its certificate, reads it order {order['order']}: "
            f"{order['amount']} paid, and reports what it returned (result {order['result']})"
        )
        refund = agent.ask("refund", order="1042", amount="30.00")
        rows = stage.count("SELECT count(*) FROM public.refunds WHERE order_id = 1042")
        self._must(f"it writes the refund; rows in refunds: {rows} (decision {refund['decision']})", rows == 1)
        customer = str(order["customer_email"])
        sent = agent.ask("mail_customer", to=customer, body="Your refund is on its way.")
        self._must(
            f"it mails the customer at the order's own address: allowed; mails sent to {customer}: "
            f"{stage.mails_to(customer)}",
            sent.get("allowed") is True and stage.mails_to(customer) == 1,
        )
        return agent, opened_at, held

    def _the_grants_hold(self, agent: AgentProcess) -> None:
        self._tell.step(2, "The agent leaves the SDK aside: its own credential, plain psql")
        self._tell.hostile("psql … -c 'SELECT * FROM public.customers'")
        done = agent.ask("plain_psql", psql=str(self._stage.psql), sql="SELECT * FROM public.customers")
        refused = done["exit"] != 0 and "permission denied" in str(done["said"])
        self._must(f"the database itself refuses: {done['said']}", refused)
        self._tell.note("the lease is no wider than the intent; this wall needs no cooperation of the agent's")

    def _the_work_deviates(self, agent: AgentProcess, opened_at: float, held: dict[str, Json]) -> None:
        stage, tell = self._stage, self._tell
        tell.step(3, "The work deviates: the order's note carries an injected instruction")
        agent.ask("long_read", sql=LONG_READ)
        tell.did("a long read that the profile permits is running")
        note = agent.ask("read_order", order="1043")
        tell.hostile(f"the note of order 1043 says: {note['note']}")
        asked_at = time.monotonic()
        answer = agent.ask("obey", to=ATTACKER)
        self._tally.denied += 1
        self._must(
            f"the agent obeys and asks for tool.send_mail, which it may: denied ({answer.get('reason')}); "
            "the profile says: revoke",
            answer.get("allowed") is False and answer.get("reason") == "origin_mismatch",
            decision=answer.get("decision"),
        )
        read = agent.ask("long_read_state", wait="10")
        died = not read["running"] and not read["whole"]
        self._must(f"the running read died mid-result, after {int(str(read['rows'])):,} rows: {read['died']}", died)
        role, lease = str(held["role"]), str(held["lease"])
        receipt = stage.receipt(lease)
        gone_at = time.monotonic()
        self._tally.leases.append((opened_at, asked_at))
        self._tally.gone_after_s.append(gone_at - asked_at)
        self._provenance(str(answer["decision"]), str(note["result"]))
        left = [r for r in stage.roles() if r.name == role]
        self._must(
            f"the role is gone; sessions of it left: {stage.sessions(role)}", not left and not stage.sessions(role)
        )
        payload = receipt["payload"]
        assert isinstance(payload, dict)
        tell.did(f"receipt {payload['receipt']} ({payload['outcome']}), signed and verified offline, lists the steps:")
        for line in stage.receipt_lines(receipt):
            tell.note(line)
        good, said_good = stage.login(stage.control_user, stage.control_password)
        bad, said_bad = stage.login(role, stage.seen_secret(agent))
        self._must(
            f"control login as {stage.control_user}: {said_good}; with the revoked one: {said_bad}", good and not bad
        )
        tell.try_it(
            "try it yourself while this runs, or later with KEEP=1:", stage.psql_line(role, stage.seen_secret(agent))
        )
        agent.stop()

    def _provenance(self, decision: str, result: str) -> None:
        """What `flyball why` tells an operator: the agent was told a code and this id, and no more."""
        stage, tell = self._stage, self._tell
        told = stage.why(decision)
        facts = told.get("facts")
        listed = [one for one in facts if isinstance(one, dict)] if isinstance(facts, list) else []
        said = {str(one["label"]): str(one["text"]) for one in listed}
        tell.did(f"flyball why {decision}")
        for label in ("failed", "wanted"):
            tell.note(f"  {label:<10}  {said.get(label, '')}")
        place = said.get("came from", "")
        wanted = f"result {result} of tool.read_order, field note, writable by outside"
        self._must(f"where the address really came from: {place}", place == f"first seen in {wanted}", seen=place)
        tell.note(f"  to allow it  {told.get('change')}")
        self._must(f"mails sent to {ATTACKER}: {stage.mails_to(ATTACKER)}", stage.mails_to(ATTACKER) == 0)

    def _four_ends(self) -> None:
        stage, tell = self._stage, self._tell
        tell.step(5, "Four ways to end, and Flyball's own death")
        second, since, role = self._working("T-1050")
        tell.did("a second agent is killed with kill -9, mid-task")
        second.kill()
        after = self._gone(role, since, within_s=15)
        tell.saw(f"heartbeat missed: no role, no session, {after:.1f} s after the kill")
        third, since, role = self._working("T-1051")
        line = stage.cli("revoke", "--agent", "refund-agent", "--reason", "operator's drill")
        after = self._gone(role, since, within_s=10)
        answer = third.ask("select_one")
        self._must(
            f"a third is stopped by `{line}`: gone {after:.2f} s after; its session says: {answer.get('said')}",
            answer.get("works") is False,
        )
        third.stop()
        fourth, since, role = self._working("T-1052")
        self._tally.count_decisions(stage.status())
        pid = stage.kill_flyball(signal.SIGKILL)
        down = time.monotonic()
        works = fourth.ask("select_one")
        tell.did(f"Flyball itself (pid {pid}) is killed with kill -9 while a fourth agent works")
        seconds = stage.start_flyball()
        works_after = fourth.ask("select_one")
        alive = fourth.ask("alive")
        self._must(
            f"back after {time.monotonic() - down:.1f} s (start {seconds:.1f} s): the healthy task did not die of it",
            bool(works.get("works")) and bool(works_after.get("works")) and not alive.get("lost"),
        )
        orphans = [r.name for r in stage.roles() if r.name != role]
        self._tally.orphans += len(orphans)
        self._must(f"orphans after the crash: {len(orphans)}", not orphans)
        ended = fourth.ask("end")
        after = self._gone(role, since, within_s=10)
        tell.saw(
            f"the fourth ends as it should: {ended['receipts']} receipt, role gone {after:.2f} s after",
            good=ended["receipts"] == 1,
        )
        fourth.stop()

    def _working(self, ticket: str) -> tuple[AgentProcess, float, str]:
        agent = self._stage.agent("refund-agent")
        agent.ask("open", profile=PROFILE, ticket=ticket, limit="200", voucher=self._stage.voucher(ticket))
        since = time.monotonic()
        held = agent.ask("connect")
        return agent, since, str(held["role"])

    def _gone(self, role: str, since: float, *, within_s: float) -> float:
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            if not any(r.name == role for r in self._stage.roles()) and not self._stage.sessions(role):
                now = time.monotonic()
                self._tally.leases.append((since, now))
                self._tally.gone_after_s.append(now - began)
                return now - began
            time.sleep(0.02)
        raise StageFault(f"role {role} was still there after {within_s:.0f} s", "look at `flyball status`")

    def _the_record(self) -> None:
        stage, tell = self._stage, self._tell
        tell.step(6, "The record is evidence: is it whole?")
        report = stage.verify_audit(stage.store)
        self._must(f"flyball audit verify: {report['records']} records, chain and checkpoints hold", bool(report["ok"]))
        for name, spoil in (("one byte flipped", flip_byte), ("the tail cut", cut_tail)):
            copy = stage.copy_store(name)
            where = spoil(copy)
            report = stage.verify_audit(copy)
            self._must(f"a copy with {name} ({where}): {_first_finding(report)}", not report["ok"])

    def _figures(self) -> None:
        stage, tell, tally = self._stage, self._tell, self._tally
        tell.step(7, "What it came to")
        tally.count_decisions(stage.status())
        tally.survivors = sum(stage.sessions(role) for role in stage.all_lease_roles())
        lasted = time.monotonic() - self._began
        held = tally.privilege_seconds()
        count = len(tally.leases)
        rows = [
            ("sessions surviving a revocation", str(tally.survivors)),
            ("roles left in the database (orphans)", str(len(stage.roles()))),
            ("calls denied by policy; by the database's grants", f"{tally.denied}; 1"),
            ("privilege-seconds, with tasks", f"{held:.0f} ({count} leases)"),
            ("privilege-seconds, static credential", f"{lasted:.0f} here so far, 86,400 a day, and it stays"),
            ("slowest end of privilege", f"{max(tally.gone_after_s):.2f} s (the missed heartbeat)"),
            (
                "decisions; p50 in the decision plane",
                f"{tally.decisions}; {tally.p50_us} µs",
            ),
        ]
        tell.table("Figures", ("what", "observed"), rows)
        cooperative = stage.cooperative()
        tell.note("not enforced here but cooperative, since only the agent's own process is asked:")
        for line in cooperative:
            tell.note(f"  {line}")
        tell.note("leases of settle-refund are `released`: the agent held its password for minutes. Receipts say so.")
        for line in stage.look_around():
            tell.note(line)

    def _must(self, text: str, holds: bool, **facts: Json) -> None:
        self._tell.saw(text, good=holds, **facts)
        if not holds:
            raise StageFault("what was seen is not what must be", "the line marked ✗ says what; please report it")


def _first_finding(report: dict[str, Json]) -> str:
    findings = report["findings"]
    if not isinstance(findings, list) or not findings or not isinstance(findings[0], dict):
        return "nothing was found"
    first = next((f for f in findings if isinstance(f, dict) and f["what"] == "cut"), findings[0])
    assert isinstance(first, dict)
    place = f"record {first['seq']}" if first.get("seq") else "the store"
    byte = f", byte {first['offset']} of its {first.get('column')}" if first.get("offset") is not None else ""
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"found at {place}{byte}: {first['detail']}{more}"


def main(*, as_json: bool = False, keep: bool = False, home: Path | None = None) -> int:
    """Play the story; 0 when everything was as it must be, 1 otherwise."""
    tell = Narrator(as_json=as_json)
    tell.title("Flyball: privilege exists only while a task holds it.")
    stage = Stage(home or Path(".flyball/demo"))
    began = time.monotonic()
    # A closed terminal or a `kill` ends it as Ctrl-C does: nothing is left behind.
    # What is ignored already (`nohup`) stays so.
    signals = [one for one in _ENDING if signal.getsignal(one) is not signal.SIG_IGN]
    _on(signals, _interrupt)
    try:
        stage.set_up()
        Story(stage, tell).play()
        tell.note(
            f"the story took {time.monotonic() - began:.0f} s; its store stays in {stage.home} until the next run"
        )
        if keep:
            tell.did("everything is left running")
            for line in stage.keep_lines():
                tell.note(line)
            stage.wait_for_interrupt()
    except StageFault as fault:
        tell.failed(str(fault), fault.hint)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        _on(signals, signal.SIG_IGN)
        stage.tear_down()
        _on(signals, signal.SIG_DFL)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _on(signals: Sequence[signal.Signals], action: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in signals:
        signal.signal(number, action)
