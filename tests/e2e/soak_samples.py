"""What a soak measures while it lasts, and whether a line of it is flat."""

import json
import os
import statistics
import time

import metrics_text
import processes

# By how much a line may rise over the second half of a soak: the larger of an amount and a part of
# its median there.
MIB = 1 << 20
BOUNDS = {
    "memory": (16 * MIB, 0.10),
    "descriptors": (6, 0.10),
    "threads": (4, 0.10),
    "journal": (2 * MIB, 0.10),
    "list": (20.0, 0.50),  # milliseconds
    "get": (20.0, 0.50),
}
# In fewer than so many minutes caches and histories are still being filled.
LEAST_MINUTES = 20
PARTS = 12


def threads(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("Threads:"):
                return int(line.split()[1])
    return 0


def of_process(pid):
    """What the kernel says of a process now; None where it has ended."""
    try:
        return {"pid": pid, "memory": processes.memory(pid),
                "peak": processes.memory(pid, "VmHWM"),
                "descriptors": len(os.listdir("/proc/%d/fd" % pid)), "threads": threads(pid)}
    except OSError:
        return None


def size_of(folder):
    total = 0
    for name in os.listdir(folder):
        try:
            total += os.path.getsize(os.path.join(folder, name))
        except FileNotFoundError:
            pass
    return total


class Sampler:
    """Keeps samples, and writes each as a line of JSON as it is taken: a soak that is killed
    leaves them."""

    def __init__(self, path, state, site, headers):
        self.samples = []
        self._file = open(path, "w", encoding="utf-8")
        self._state, self._site, self._headers = state, site, headers
        self._began = time.monotonic()

    def now(self):
        return time.monotonic() - self._began

    def _timed(self, path):
        began = time.perf_counter()
        answer = self._site.ask("GET", path, headers=self._headers)
        if answer.status not in (200, 404):
            raise AssertionError("GET %s: %s" % (path, answer))
        return 1000 * (time.perf_counter() - began)

    def take(self, coordinator, workers, job):
        """`job`: the name of one that is known."""
        sample = {"time": self.now(), "coordinator": of_process(coordinator),
                  "workers": [w for w in map(of_process, workers) if w is not None],
                  "journal": size_of(self._state),
                  "list": self._timed("/api/v1/jobs?page_size=50"),
                  "get": self._timed("/api/v1/" + job)}
        series, _ = metrics_text.parse(self._site.get("/metrics").body)
        for name in ("units_completed_total", "leases_lost_total", "leases_failed_total"):
            sample[name] = metrics_text.total(series, "merganser_" + name)
        self.samples.append(sample)
        self._file.write(json.dumps(sample) + "\n")
        self._file.flush()
        return sample

    def close(self):
        self._file.close()


def lines(samples, spared):
    """{(who, what): [(seconds, value)]} of those that are to be flat: the coordinator's, the
    journal's, the calls', and those of the worker `spared` (a pid), which lives all the time."""
    found = {}
    for sample in samples:
        worker = next((w for w in sample["workers"] if w["pid"] == spared), None)
        for who, of in (("coordinator", sample["coordinator"]), ("worker", worker)):
            for what in ("memory", "descriptors", "threads"):
                if of is not None:
                    found.setdefault((who, what), []).append((sample["time"], of[what]))
        for what in ("journal", "list", "get"):
            found.setdefault(("coordinator", what), []).append((sample["time"], sample[what]))
    return found


def growth(points):
    """By how much a line rises from its first point to its last: the median of the slopes between
    medians of its parts, so that peaks and a few odd values do not count."""
    first, last = points[0][0], points[-1][0]
    parts = {}
    for at, value in points:
        part = min(int((at - first) / (last - first) * PARTS), PARTS - 1) if last > first else 0
        parts.setdefault(part, []).append((at, value))
    middles = [(statistics.median(t for t, _ in part), statistics.median(v for _, v in part))
               for _, part in sorted(parts.items())]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(middles) for b in middles[i + 1:]
              if b[0] > a[0]]
    return statistics.median(slopes) * (last - first) if slopes else 0.0


class Line:
    """The second half of what was measured of one thing."""

    def __init__(self, who, what, points):
        half = (points[0][0] + points[-1][0]) / 2
        self.who, self.what, self.points = who, what, points
        late = [p for p in points if p[0] >= half]
        self.median = statistics.median(v for _, v in late)
        self.most = max(v for _, v in points)
        self.growth = growth(late)
        least, part = BOUNDS[what]
        self.allowed = max(least, part * self.median)

    @property
    def flat(self):
        return self.growth <= self.allowed


def judge(samples, spared):
    """A Line each, in the order in which they are shown."""
    return [Line(who, what, points) for (who, what), points in lines(samples, spared).items()
            if len(points) > 1]
