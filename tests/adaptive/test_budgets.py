"""Attacks on budgets and approvals: split, spend, repeat, race."""

from __future__ import annotations

import threading

import pytest
from tests.adaptive.kit import ANN, OURS, THEIRS, House, Run

from flyball.policy.engine import CoreError


@pytest.fixture
def house() -> House:
    return House()


def test_an_amount_is_split(house: House) -> None:
    """Many small payments are one large one: the sum is what is bounded."""
    run = house.open(f"Please pay 200 to {OURS}")
    outcomes = [run.outcome("pay", iban=OURS, amount="200") for _ in range(4)]
    assert outcomes[:2] == ["allow", "allow"]
    assert "allow" not in outcomes[2:]


def test_a_budget_is_spent_and_not_given_back_by_the_agent(house: House) -> None:
    """Only the enforcement point that asked can say that a call did not run, once, and not after its result."""
    run = house.open(f"Please pay 500 to {OURS}")
    paid = run.ask("pay", iban=OURS, amount="500")
    assert paid.effect == "allow"
    for pep in ("sdk", "self", "other", "flyball", "nobody"):
        with pytest.raises(CoreError):
            house.core.return_charge(run.task, pep, paid.decision)
    run.report(paid.decision, {"done": True})
    with pytest.raises(CoreError):
        house.core.return_charge(run.task, "gateway", paid.decision)
    assert run.outcome("pay", iban=OURS, amount="500") != "allow"


def test_the_agents_own_process_gives_nothing_back(house: House) -> None:
    """What the agent itself asked for, it may report and may not undo: its word only binds it."""
    run = house.open(f"Please pay 500 to {OURS}")
    paid = run.ask("pay", pep="sdk", iban=OURS, amount="500")
    assert paid.effect == "allow"
    for pep in ("sdk", "self", "gateway"):
        with pytest.raises(CoreError):
            house.core.return_charge(run.task, pep, paid.decision)
    assert run.outcome("pay", iban=OURS, amount="500") == "budget_spent"


def test_a_charge_is_returned_once(house: House) -> None:
    """A call that did not run gives back what it took, and no more."""
    run = house.open(f"Please pay 300 to {OURS}")
    paid = run.ask("pay", iban=OURS, amount="300")
    house.core.return_charge(run.task, "gateway", paid.decision)
    with pytest.raises(CoreError):
        house.core.return_charge(run.task, "gateway", paid.decision)
    assert run.outcome("pay", iban=OURS, amount="300") == "allow"
    assert run.outcome("pay", iban=OURS, amount="300") == "budget_spent"


@pytest.mark.parametrize("amount", ["-500", "-0.0001", "0", "00000300", "300.0000"])
def test_a_sum_is_not_lowered_or_hidden(house: House, amount: str) -> None:
    """A negative amount gives nothing back; an amount in other clothes counts in full."""
    run = house.open(f"Please pay 300 or 0 or -500 or -0.0001 to {OURS}")
    assert run.outcome("pay", iban=OURS, amount="300") == "allow"
    run.outcome("pay", iban=OURS, amount=amount)
    assert run.outcome("pay", iban=OURS, amount="300") != "allow"


def test_distinct_recipients_in_other_clothes_are_one(house: House) -> None:
    """Two recipients at most: the same address written otherwise is no third, another address is."""
    people = [f"p{n}@acme.example" for n in range(4)]
    run = house.open("Please send a note to " + " and ".join(people))
    for to in ([people[0], people[1]], [people[0].upper()], [f" {people[1]} "]):
        assert run.outcome("send_mail", to=to, subject="x", body="y") == "allow", to
    assert run.outcome("send_mail", to=[people[2]], subject="x", body="y") == "budget_spent"


def test_a_thousand_tasks_on_one_ticket(house: House) -> None:
    """`once_per: ticket` counts across tasks: a thousand of them refund once."""
    outcomes = []
    for _ in range(1000):
        run = house.open(profile="desk", inputs={"ticket": "T-1", "limit": "50"})
        outcomes.append(run.outcome("refund", amount="50"))
        house.core.fence(run.task, "done")
        house.core.close(run.task)
    assert outcomes.count("allow") == 1
    assert set(outcomes[1:]) == {"once_per_spent"}


def test_a_thousand_calls_race_for_one_budget(house: House) -> None:
    """Never overspent: of a thousand at once, exactly as many are allowed as the budget holds."""
    run = house.open(f"Please pay 100 to {OURS}")
    allowed: list[str] = []
    start = threading.Barrier(50)

    def pay() -> None:
        start.wait()
        for _ in range(20):
            verdict = run.ask("pay", iban=OURS, amount="100")
            if verdict.effect == "allow":
                allowed.append(verdict.decision)

    threads = [threading.Thread(target=pay) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == 5
    assert len(set(allowed)) == 5


def test_a_thousand_tasks_race_for_one_ticket(house: House) -> None:
    """The same across tasks: one refund, whichever thread comes first."""
    runs = [house.open(profile="desk", inputs={"ticket": "T-2", "limit": "50"}) for _ in range(1000)]
    allowed: list[str] = []
    start = threading.Barrier(20)

    def refund(part: list[Run]) -> None:
        start.wait()
        for run in part:
            if run.outcome("refund", amount="50") == "allow":
                allowed.append(run.task)

    threads = [threading.Thread(target=refund, args=(runs[n::20],)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == 1


def test_one_plan_entry_is_raced_for(house: House) -> None:
    """A plan's count is a budget too."""
    run = house.open(f"Mail {ANN}", profile="planned")
    house.core.declare_plan(run.task, b'[{"action":"send_mail","count":3}]', "assistant")
    allowed: list[str] = []

    def send() -> None:
        for _ in range(20):
            if run.outcome("send_mail", to=[ANN], subject="x", body="y") == "allow":
                allowed.append("sent")

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == 3


def test_reading_the_cart_twice_does_not_double_its_sum(house: House) -> None:
    """A limit that is a sum over results is not raised by asking for the same result again."""
    run = house.open("Please buy what is in the cart")
    cart = [{"item": "pen", "price": "2.00"}, {"item": "ink", "price": "3.00"}]
    for _ in range(3):
        run.read("cart", cart)
    run.read("cart", cart[::-1])
    assert run.outcome("checkout", total="10.00") == "argument_out_of_bounds"
    assert run.outcome("checkout") == "argument_missing"
    assert run.outcome("checkout", total="5.00") == "allow"


def bill(house: House) -> Run:
    run = house.open("Please pay bill B-7")
    run.read("get_bill", [{"number": "B-7", "iban": OURS, "total": "80.00"}])
    return run


def test_an_approval_is_replayed(house: House) -> None:
    """A yes is for one call, once: the second time the person is asked anew."""
    run = bill(house)
    asked = run.ask("pay", iban=OURS, amount="80.00")
    assert (asked.effect, asked.reasons[0]) == ("require_approval", "approval_required")
    assert asked.approval
    house.core.settle_approval(run.task, asked.approval, True, "person")
    assert run.outcome("pay", iban=OURS, amount="80.00") == "allow"
    again = run.ask("pay", iban=OURS, amount="80.00")
    assert again.effect == "require_approval"
    assert again.approval != asked.approval
    with pytest.raises(CoreError, match="approval_"):
        house.core.settle_approval(run.task, asked.approval, True, "person")


@pytest.mark.parametrize(
    "change",
    [{"amount": "80"}, {"iban": OURS.lower()}, {"reference": "thanks"}, {"day": None}, {"iban": THEIRS}],
)
def test_an_approval_is_used_for_another_call(house: House, change: dict[str, object]) -> None:
    """It is bound to the call's digest: whatever is changed, however slightly, was not approved."""
    run = bill(house)
    call = {"iban": OURS, "amount": "80.00"}
    asked = run.ask("pay", **call)
    house.core.settle_approval(run.task, asked.approval or "", True, "person")
    assert run.ask("pay", **{**call, **change}).effect != "allow"
    assert run.ask("pay", **call).effect == "allow"


def test_an_approval_of_another_task(house: House) -> None:
    """A reference means something in its own task only."""
    one, two = bill(house), bill(house)
    first = one.ask("pay", iban=OURS, amount="80.00").approval or ""
    two.ask("pay", iban=OURS, amount="80.00")
    with pytest.raises(CoreError, match="approval_unknown"):
        house.core.settle_approval(two.task, first, True, "person")
    house.core.settle_approval(one.task, first, True, "person")
    assert two.outcome("pay", iban=OURS, amount="80.00") == "approval_required"


def test_a_no_stays_a_no(house: House) -> None:
    """Asking again after a refusal does not ask the person again until somebody tires."""
    run = bill(house)
    asked = run.ask("pay", iban=OURS, amount="80.00")
    house.core.settle_approval(run.task, asked.approval or "", False, "person")
    for _ in range(3):
        assert run.outcome("pay", iban=OURS, amount="80.00") == "approval_refused"


def test_a_flood_of_questions(house: House) -> None:
    """Nobody is asked a thousand times: at most 64 questions of a task are open, and the rest is refused."""
    run = bill(house)
    outcomes = [run.outcome("pay", iban=OURS, amount="80.00", reference=f"n {n}") for n in range(100)]
    assert outcomes.count("approval_required") == 64
    assert set(outcomes[64:]) == {"approvals_full"}


def test_a_frozen_task_does_not_use_its_approval(house: House) -> None:
    """What was approved before a deviation is not done after it."""
    run = bill(house)
    asked = run.ask("pay", iban=OURS, amount="80.00")
    house.core.settle_approval(run.task, asked.approval or "", True, "person")
    for _ in range(2):
        run.outcome("pay", iban=THEIRS, amount="80.00")
    assert run.outcome("pay", iban=OURS, amount="80.00") == "task_frozen"
