"""The start: run the app, and turn every failure into `error: …`, `hint: …` and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Protocol

from typer.exceptions import Abort, TyperException

from flyball.edges.cli.app import build
from flyball.edges.cli.errors import FAILED, MISUSED, CliError, Refusal
from flyball.flow.text import clean
from flyball.kernel.errors import FlyballError
from flyball.kernel.json import Json


class _Finding(Protocol):
    def render(self) -> str: ...


def run(words: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name); its exit code."""
    try:
        line = list(sys.argv[1:] if words is None else words)
        done: object = build(line)(args=line, prog_name="flyball", standalone_mode=False)
        sys.stdout.flush()
        return done if isinstance(done, int) and not isinstance(done, bool) else 0
    except CliError as fault:
        if isinstance(fault, Refusal):
            _findings(fault.findings)
        complain(fault.text, fault.hint)
        return fault.exit_code
    except FlyballError as fault:
        found: Iterable[_Finding] = getattr(fault, "diagnostics", ())
        for one in found:
            print(one.render(), file=sys.stderr)
        complain(f"{fault.detail} [{fault.code}]", fault.hint)
        return FAILED
    except Abort:
        complain("stopped", "")
        return 130
    except TyperException as fault:
        return _misused(fault)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has gone (`| head`); nothing is wrong. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as fault:
        if os.environ.get("FLYBALL_TRACE"):
            raise
        complain(f"Flyball failed: {type(fault).__name__}: {fault}", "a fault of ours; FLYBALL_TRACE=1 shows where")
        return FAILED


def complain(text: str, hint: str) -> None:
    """`error: …` and `hint: …` on stderr."""
    print(f"error: {clean(text, 2000)}", file=sys.stderr)
    if hint:
        print(f"hint: {clean(hint, 1000)}", file=sys.stderr)


def _misused(fault: TyperException) -> int:
    said = getattr(fault, "format_message", None)
    text = str(said()) if callable(said) else str(fault)
    if type(fault).__name__ == "NoArgsIsHelpError":  # typer does not export it
        print(text, file=sys.stderr)
        return MISUSED
    context = getattr(fault, "ctx", None)
    command = str(getattr(context, "command_path", "flyball"))
    complain(text.strip().rstrip(".") or "that is not a command", f"see `{command} --help`")
    return MISUSED


def _findings(findings: Sequence[Json]) -> None:
    for one in findings:
        if isinstance(one, dict):
            place = f"{one.get('file')}:{one.get('line')}:{one.get('column')}"
            print(
                clean(f"{place}: {one.get('severity')}: {one.get('message')} [{one.get('code')}]", 500), file=sys.stderr
            )
