"""The asynchronous client against the same real server."""

import asyncio
import threading
from decimal import Decimal

import pytest
from tests.unit.sdk_server import serving

import flyball_sdk
from flyball_sdk import aio

EVALUATION = "/access/v1/evaluation"


@pytest.fixture
def flyball(tmp_path, monkeypatch):
    monkeypatch.delenv("FLYBALL_SVID_FILE", raising=False)
    with serving(tmp_path) as found:
        monkeypatch.setenv("FLYBALL_ADDR", found.base)
        monkeypatch.setenv("FLYBALL_SVID", found.svid())
        yield found


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_task_from_beginning_to_end(flyball):
    """Opened, alive, checked, guarded, given a credential, and ended."""
    flyball.credential_life_ms = 2_500

    async def work():
        async with aio.task("p", inputs={"a": 1}) as task:
            assert flyball.tasks == {task.id: "open"}
            assert await task.check("tool.refund", "order", "1", amount=Decimal("1.50"))

            @task.guard("tool.note", resource=("note", "{which}"))
            async def note(which: str) -> str:
                return which

            assert await note("n") == "n"
            held = await task.credential("orders")
            assert await held.fresh() is held
            assert "s3cr" not in f"{held!r}{held.secret}"
            await until(lambda: held.due)
            assert (await held.fresh()).lease != held.lease
            await until(lambda: sum(path.endswith("/heartbeat") for path, _, _ in flyball.requests) >= 3)
            return task

    task = asyncio.run(work())
    assert flyball.tasks == {task.id: "ended"}
    assert task.state == "ended"
    assert all(flyball.leases.values())


def test_denied(flyball):
    """A no raises, and the guarded function is not run."""
    flyball.decide = lambda body: {"decision": False, "context": {"effect": "deny", "reasons": ["budget_spent"]}}
    ran = []

    async def work():
        async with aio.task("p") as task:

            @task.guard("x", resource=("a", "b"))
            async def guarded() -> None:
                ran.append(1)

            with pytest.raises(flyball_sdk.Denied) as denied:
                await guarded()
            assert denied.value.reason == "budget_spent"
            assert not await task.check("x", "a", "b", raise_on_deny=False)

    asyncio.run(work())
    assert ran == []


def test_many_checks_share_the_connection(flyball):
    """Checks at once wait for each other on the one connection that has seen the proof."""
    flyball.heartbeat_ms = 60_000

    async def work():
        async with aio.task("p") as task:
            await asyncio.gather(*(task.check("a", "t", "i") for _ in range(20)))

    asyncio.run(work())
    checks = [request for request in flyball.requests if request[0] == EVALUATION]
    assert [had_proof for _, had_proof, _ in checks] == [True] + [False] * 19


def test_a_cancelled_block_ends_its_task(flyball):
    """Cancellation still gives the privilege back."""

    async def work():
        opened = asyncio.Event()

        async def agent():
            async with aio.task("p"):
                opened.set()
                await asyncio.Event().wait()

        running = asyncio.create_task(agent())
        await opened.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(work())
    assert list(flyball.tasks.values()) == ["ended"]


def test_an_end_without_an_answer_is_told_again(flyball):
    """The end counts once: a connection that was closed as it was sent leaves no task behind, and no error."""

    async def work():
        async with aio.task("p") as task:
            flyball.unanswered = ["/end"]
        return task

    task = asyncio.run(work())
    assert len([path for path, _, _ in flyball.requests if path.endswith("/end")]) == 2
    assert flyball.tasks == {task.id: "ended"}
    assert task.end_error is None


def test_a_fenced_task_is_lost(flyball):
    """When the server says that the task is over, every next use raises."""

    async def work():
        async with aio.task("p") as task:
            flyball.tasks[task.id] = "fenced"
            async with asyncio.timeout(10):
                await task.wait_lost()
            assert task.lost
            with pytest.raises(flyball_sdk.TaskLost) as lost:
                await task.check("a", "t", "i")
            assert lost.value.code == "task_fenced"
        return task

    assert asyncio.run(work()).end_error is None


def test_an_unreachable_server_loses_the_task_with_its_token(flyball):
    """Without an answer the task is kept until its token has run out; ending it then fails, and is told."""
    flyball.life_s = 1

    async def work():
        async with aio.task("p") as task:
            flyball.hang.set()
            with pytest.raises(flyball_sdk.Unavailable):
                await task.credential("orders")
            async with asyncio.timeout(10):
                await task.wait_lost()
        return task

    assert asyncio.run(work()).end_error is not None


def test_the_identity_is_fetched_off_the_event_loop(flyball):
    """A blocking identity function does not block the loop."""
    seen = []

    def identity():
        seen.append(threading.current_thread() is threading.main_thread())
        return flyball.svid()

    async def work():
        async with aio.task("p", identity=identity):
            pass

    asyncio.run(work())
    assert seen == [False]


def test_both_halves_have_the_same_names():
    """What the synchronous task can do, the asynchronous one can, and the other way round."""

    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(flyball_sdk.Task) == public(aio.Task)
    assert public(flyball_sdk.Credential) == public(aio.Credential)
