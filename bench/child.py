"""A process of ours that is told what to do in lines of JSON, and answers in lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench import machine
from bench.measure import BenchError


class Child:
    """`python -m MODULE WORDS…` on a core, or wherever the kernel puts it (`core=None`)."""

    def __init__(self, module: str, *words: str, log: Path, core: int | None) -> None:
        self._log = log
        self._name = module.rpartition(".")[2]
        line = [sys.executable, "-m", module, *words]
        self.process = machine.start(line, core=core, log=log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, do: str, **words: object) -> dict[str, object]:
        """Tell it to do something; its answer.

        Raises:
            BenchError: it could not, or it is gone.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **words}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"{self._name} ended: {self._said()}") from None
        answer = self.read()
        if "error" in answer:
            raise BenchError(f"{self._name} could not {do}: {answer['error']}")
        return answer

    def number(self, do: str, of: str, **words: object) -> float:
        """One figure of an answer."""
        return float(str(self.ask(do, **words)[of]))

    def read(self) -> dict[str, object]:
        """Its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{self._name} ended: {self._said()}")
        found: dict[str, object] = json.loads(line)
        return found

    def stop(self, *, hard: bool = False) -> None:
        """End it: orderly by the end of its lines, or by kill -9."""
        if not hard and self.process.poll() is None and self.process.stdin is not None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                hard = True
        machine.end(self.process, hard=hard)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-1200:] if self._log.exists() else ""


def serve(told: object) -> int:
    """The other end of `Child`: do what each line says, by the method of that name, until there are no more."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    out.write(json.dumps({"pid": os.getpid()}) + "\n")
    for line in sys.stdin:
        words = json.loads(line)
        do: Callable[..., dict[str, object]] = getattr(told, words.pop("do"))
        try:
            answer = do(**words)
        except Exception as error:
            answer = {"error": repr(error)}
        out.write(json.dumps(answer) + "\n")
    return 0
