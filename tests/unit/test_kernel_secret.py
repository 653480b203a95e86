"""A secret is not seen by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from dataclasses import dataclass

import pytest

from flyball.kernel.secret import Secret

WORD = "swordfish-2041"


@dataclass(frozen=True)
class _Login:
    user: str
    password: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>40}".format,
        "{!r}".format,
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - old code writes so
        lambda secret: repr([secret, {"password": secret}]),
        lambda secret: repr(_Login("ada", secret)),
        lambda secret: repr(ValueError("refused", secret)),
        lambda secret: str(KeyError(secret)),
    ],
)
def test_it_shows_in_no_text(show: object) -> None:
    """Neither itself, nor in what holds it, nor in an error, however it is formatted."""
    assert callable(show)
    assert WORD not in show(Secret(WORD))
    assert Secret(WORD).reveal() == WORD


def test_it_shows_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """As an argument of a log line, or in one that was formatted before."""
    secret = Secret(WORD)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("flyball.test").info("login %s %r", secret, secret)
        logging.getLogger("flyball.test").info(f"login {secret}")
    assert "login" in caplog.text
    assert WORD not in caplog.text


@pytest.mark.parametrize("write", [pickle.dumps, copy.deepcopy, json.dumps])
def test_it_is_not_written_out(write: object) -> None:
    """What would serialise it is refused, and the refusal does not quote it."""
    assert callable(write)
    with pytest.raises(TypeError) as refused:
        write(Secret(WORD))
    assert WORD not in str(refused.value)


def test_it_is_compared_by_value_and_is_in_no_set() -> None:
    """Equal secrets are equal, no text is equal to one, and a hash of it would tell of it."""
    assert Secret(WORD) == Secret(WORD)
    assert Secret(WORD) != Secret(WORD + "x")
    assert Secret(WORD) != WORD
    with pytest.raises(TypeError):
        hash(Secret(WORD))
