"""Run argv as a child process; print its elapsed seconds and peak memory as JSON.

A program of its own, without the package: on Linux a child starts with the peak memory of the
process that forked it, and a benchmark may hold gigabytes. This one is small.
"""

import json
import os
import subprocess
import sys
import time


def main(command: list[str]) -> int:
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    print(json.dumps({"seconds": seconds, "peak_mb": usage.ru_maxrss * unit / 1e6}))
    return 1 if child.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
