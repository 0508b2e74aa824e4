"""Runs `sealbatch` with the words behind the first one, and writes the peak of its resident memory there, in KiB.

The kernel's own figure for a child (ru_maxrss) counts the memory of the process that forked it.
"""

import re
import sys
from pathlib import Path

from sealbatch.cli import main

if __name__ == "__main__":
    report = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        report.write_text(found[1])
