"""What the kernel says of processes (/proc)."""

import os
import re


def memory(pid, field="VmRSS"):
    """Resident bytes, or with `VmHWM` their peak; 0 of one that has ended and is not waited for yet."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
    return 0


def written(pid):
    """Bytes that it handed to write calls."""
    with open("/proc/%d/io" % pid, encoding="ascii") as f:
        return int(re.search(r"^wchar: (\d+)$", f.read(), re.M).group(1))


def with_arguments(*parts):
    """Numbers of the processes that have every one of `parts` among their arguments."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as f:
                words = f.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if all(any(w == p or w.endswith("/" + p) for w in words) for p in parts):
            found.append(int(entry))
    return found


def program_of(pid):
    """The name of what a process runs; none where it has ended."""
    try:
        return os.path.basename(os.readlink("/proc/%d/exe" % pid))
    except FileNotFoundError:
        return None


def awaits(pid, number):
    """Whether a stopped process was sent a signal that it has not had yet."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        pending = re.search(r"^ShdPnd:\t(\w+)$", f.read(), re.M).group(1)
    return bool(int(pending, 16) & 1 << (number - 1))
