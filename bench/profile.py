"""Where the time goes: `python -m bench.profile fast|safe [SECONDS]` sends the HTTP load under `perf record`.

Prints the threads' shares, the functions' and what the writer counted. Needs `perf`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from bench import load, setting
from bench.governor import governor


def main() -> int:
    """Profile one load."""
    access_class = sys.argv[1] if len(sys.argv) > 1 else "fast"
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


def _report(data: str, how: str) -> None:
    words = ["perf", "report", "-q", "--stdio", "-i", data, *how.split()]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [" ".join(line.split())[:150] for line in found.stdout.splitlines() if line.strip()]
    print(f"== perf report {how}")
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
