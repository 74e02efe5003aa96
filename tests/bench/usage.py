"""usage.py FILE COMMAND...: runs COMMAND, writes what it took to FILE as JSON, and exits as it did.

  wall       seconds, from before the fork to after the end
  cpu        seconds of processors, of user and system, with those of children that it waited for
  peak       most resident bytes as the kernel counts them: pages of mapped files are among them
  anonymous  most resident bytes that are no file's, looked at every 20 ms; what comes and goes
             between two looks is missed

To be started with -I -S: until its exec a child's peak is its parent's, so this one stays small.
"""

import json
import os
import sys
import threading
import time

LOOK_EVERY = 0.02  # seconds


def anonymous_bytes(pid):
    kilobytes = 0
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        for line in f:
            if line.startswith(("RssAnon:", "RssShmem:")):
                kilobytes += int(line.split()[1])
    return 1024 * kilobytes


def look(pid, over, found):
    while not over.wait(LOOK_EVERY):
        try:
            found[0] = max(found[0], anonymous_bytes(pid))
        except OSError:
            return


def main():
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.execv(sys.argv[2], sys.argv[2:])
        except OSError as error:
            sys.stderr.write("%s: %s\n" % (sys.argv[2], error))
            os._exit(127)
    over, found = threading.Event(), [0]
    threading.Thread(target=look, args=(child, over, found), daemon=True).start()
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    over.set()
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
                   "peak": 1024 * usage.ru_maxrss, "anonymous": found[0]}, f)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)


main()
