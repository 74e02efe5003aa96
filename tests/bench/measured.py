"""Commands that are measured, and what was measured so far: what the benchmarks share that hold whole
programs against each other and may be taken up again."""

import json
import os
import statistics
import subprocess
import sys
import tempfile

USAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "usage.py")


class Failed(Exception):
    """A command that did not end well: its line, exit code and the end of what it said."""


def timed(command, env=None):
    """What `command` took, as usage.py tells it. What others wrote is on the device before it starts, but
    with MERGANSER_UNTIMED=1 (tests, whose figures say nothing); `env` is added to this process's.
    Raises Failed."""
    if os.environ.get("MERGANSER_UNTIMED") != "1":
        os.sync()
    with tempfile.NamedTemporaryFile("r", suffix=".usage") as usage:
        helper = [sys.executable, "-I", "-S", USAGE, usage.name]
        done = subprocess.run(helper + [str(word) for word in command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=dict(os.environ, **(env or {})), check=False)
        if done.returncode != 0:
            raise Failed("%s\nexit code %d\n%s" % (
                " ".join(str(word) for word in command), done.returncode,
                done.stderr.decode("utf-8", "replace")[-2000:].strip()))
        return json.load(usage)


class Results:
    """A JSON file with what was measured so far: `environment`, and `steps` by key. It is written after
    every step, so that a benchmark which ended early goes on with what is left. Results of another
    environment are set aside as FILE.old, which is said."""

    def __init__(self, path, environment):
        self.path, self.environment, self.steps = path, environment, {}
        try:
            with open(path, encoding="utf-8") as f:
                kept = json.load(f)
        except FileNotFoundError:
            return
        if kept["environment"] == environment:
            self.steps = kept["steps"]
            print("%s: going on with %d steps" % (path, len(self.steps)), file=sys.stderr)
            return
        changed = sorted(key for key in set(kept["environment"]) | set(environment)
                         if kept["environment"].get(key) != environment.get(key))
        os.replace(path, path + ".old")
        print("%s: other %s than now, so it is set aside as %s.old" % (
            path, ", ".join(changed), path), file=sys.stderr)

    def step(self, key):
        return self.steps.setdefault(key, {"runs": []})

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump({"environment": self.environment, "steps": self.steps}, f, indent=1)
        os.replace(self.path + ".new", self.path)


def spread(values, digits=2):
    """`1.30 (1.25 - 1.41)`: the median, the least and the most."""
    middle, least, most = (
        "%.*f" % (digits, v) for v in (statistics.median(values), min(values), max(values)))
    return middle if least == most else "%s (%s - %s)" % (middle, least, most)
