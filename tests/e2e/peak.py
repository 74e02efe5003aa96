"""peak.py FILE COMMAND...: runs COMMAND, writes its peak resident memory in bytes to FILE,
and exits as it did. Imports next to nothing, so that its own size stays below any peak."""

import os
import sys

child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as f:
    f.write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status) % 256)
