"""A task on a decision plane of its own, with nothing else of the house: for a bundle's cases and for benchmarks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from flyball.kernel import ids
from flyball.kernel.json import Json
from flyball.policy.compile import Compiled
from flyball.policy.engine import Core
from flyball.task.lifecycle import open_task
from flyball.task.profile import Voucher, validate_inputs
from flyball.task.spec import task_spec
from flyball.task.task import Task


def begin(
    core: Core,
    compiled: Compiled,
    *,
    profile: str,
    agent: str,
    inputs: Mapping[str, Json],
    vouched_by: str,
    cell: str,
) -> Task:
    """Open a task of `profile` on a core that has loaded the bundle; the task.

    Args:
        agent: the agent's name in the bundle; its first identity runs the task.
        vouched_by: who vouches for all the inputs; empty where nobody does.

    Raises:
        InvalidInput, Denied: the profile does not take these inputs, or not from this agent.
        CoreError: the core does not take the task.
    """
    declared, runs = compiled.bundle.profiles[profile], compiled.bundle.agents[agent]
    given = dict(inputs)
    vouchers = ["trial"] if vouched_by else []
    now = time.time_ns() // 1_000_000
    task = open_task(
        id=ids.task_id(cell, now),
        principal=runs.ids[0].replace("*", "x") if runs.ids else f"peer:uid:{runs.uid}",
        agent=runs.name,
        owner=runs.owner,
        profile=declared,
        bundle=compiled.digest,
        inputs=validate_inputs(declared, given, vouchers, lambda _: Voucher(vouched_by, given)),
        binding="uid:0",
        now_ms=now,
        cell=cell,
        home=cell,
        epoch=1,
    )
    core.open(task_spec(task, secrets.token_bytes(32)))
    return task
