"""Where the time goes.

`python -m bench.profile fast|safe [SECONDS]` sends the HTTP load under `perf record` and prints the
threads' shares, the functions' and what the writer counted. `python -m bench.profile core` counts
the instructions of one check in the plane alone, by function, under `valgrind --tool=callgrind`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from bench import calls, load, setting
from bench.calls import CALLS
from bench.families import fence
from bench.governor import governor


def main() -> int:
    """Profile one load."""
    access_class = sys.argv[1] if len(sys.argv) > 1 else "fast"
    if access_class == "core":
        return core()
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    load.build()
    with setting.fresh("profile") as home:
        place = setting.write(home)
        with governor(place.home) as ours:
            holders = ours.holders(f"settle-{access_class}")
            ours.renew(holders)
            plan = load.flyball_plan(ours.decision, holders, access_class, seconds=seconds, pid=ours.pid)
            data = str(home / "perf.data")
            before = ours.ask("stats")

            def record() -> None:
                time.sleep(1.5)
                words = f"perf record -q -F 799 --call-graph dwarf,16384 -p {ours.pid} -o {data} -- sleep {seconds - 1}"
                subprocess.run(words.split(), check=False)

            recorder = threading.Thread(target=record)
            recorder.start()
            print(load.run(plan, name="profile"))
            recorder.join()
            after = ours.ask("stats")
        # Own time by thread and by function; then time with all that a function calls.
        _report(data, "--no-children -g none -F overhead,comm")
        _report(data, "--no-children -g none -F overhead,comm,symbol --percent-limit 0.6")
        _report(data, "--children -g none -F overhead_children,overhead,comm,symbol --percent-limit 1.2")
    print("before", json.dumps(before["writer"]))
    print("after ", json.dumps(after["writer"]))
    print("core  ", json.dumps(after["core"])[:1500])
    return 0


def core() -> int:
    """One check in the plane alone: µs, then instructions by function (the difference of two counts of checks)."""
    load.build()
    with setting.fresh("profile") as home:
        inputs = [*fence.write_inputs(home, "settle-fast"), str(home / "calls.json")]
        asked = [
            {"action": f"fast.{one.action}", "resource": one.resource, "args": calls.text(one.args)} for one in CALLS
        ]
        (home / "calls.json").write_text(json.dumps(asked))
        line = [str(load.RACE.with_name("check-cost")), *inputs]
        done = subprocess.run([*line, "200000"], capture_output=True, text=True, check=True)
        print(f"{done.stdout.strip()} µs a check")
        out = home / "callgrind.out"
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=*Plane*check*"]
        done = subprocess.run([*tool, *line, "2000"], capture_output=True, text=True, check=False)
        print("\n".join(done.stderr.splitlines()[-4:]))
        for how in ("--inclusive=yes", "--inclusive=no"):
            words = ["callgrind_annotate", how, "--threshold=98", str(out)]
            found = subprocess.run(words, capture_output=True, text=True, check=False)
            print(f"== {' '.join(words[:2])}")
            print("\n".join(" ".join(row.split())[:170] for row in found.stdout.splitlines()[10:75]))
    return 0


def _report(data: str, how: str) -> None:
    words = ["perf", "report", "-q", "--stdio", "-i", data, *how.split()]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [" ".join(line.split())[:150] for line in found.stdout.splitlines() if line.strip()]
    print(f"== perf report {how}")
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
