"""Tasks of a page's main thread, out of a trace of Chromium (browser.py, `Browser(traced=True)`).

A task is what the thread does at one go: nothing that somebody clicks is heard before it ends. Of each
there are two times. Wall time holds what the system let others do meanwhile, on a machine that has
other work; CPU time is what the thread itself took, and is what a bar can be held to."""

import collections

# Tasks come with the first, what they do with the second, and marks of pages with the third.
CATEGORIES = "disabled-by-default-devtools.timeline,devtools.timeline,blink.user_timing"
TASK = "RunTask"
MAIN = "CrRendererMain"
# In microseconds. Of shorter tasks the trace may leave the CPU time out; their wall time stands for it.
SHORT = 10_000

# In milliseconds; `what`: the longest thing in it that the trace names.
Task = collections.namedtuple("Task", "cpu wall what")


def main_threads(events, mark):
    """(process, thread) of main threads whose page set that mark of performance.mark."""
    marked = {event["pid"] for event in events if event["name"] == mark}
    return {
        (event["pid"], event["tid"])
        for event in events
        if event["ph"] == "M"
        and event["name"] == "thread_name"
        and event["args"]["name"] == MAIN
        and event["pid"] in marked
    }


def tasks(events, mark):
    """All tasks of the pages that set `mark`, those that took most CPU time first."""
    threads = main_threads(events, mark)
    if not threads:
        raise AssertionError("found no page in the trace that set the mark " + mark)
    whole = [
        event
        for event in events
        if event["ph"] == "X" and (event["pid"], event["tid"]) in threads and "dur" in event
    ]
    found = []
    for event in whole:
        if event["name"] != TASK:
            continue
        if "tdur" not in event and event["dur"] >= SHORT:
            raise AssertionError("found no CPU time (tdur) of a task in the trace: %r" % event)
        end = event["ts"] + event["dur"]
        within = [
            other
            for other in whole
            if event["dur"] >= SHORT
            and other["name"] != TASK
            and (other["pid"], other["tid"]) == (event["pid"], event["tid"])
            and event["ts"] <= other["ts"] <= end
        ]
        longest = max(within, key=lambda other: other["dur"], default={"name": ""})
        took = event.get("tdur", event["dur"])
        found.append(Task(took / 1000, event["dur"] / 1000, longest["name"]))
    return sorted(found, reverse=True)


def longest(found):
    """What is printed of them: the one of most CPU time, and the one that took longest by the clock."""
    by_wall = max(found, key=lambda task: task.wall)
    return "%d tasks, most CPU time %.0f ms (%s), longest by the clock %.0f ms, of that CPU %.0f" % (
        len(found),
        found[0].cpu,
        found[0].what or "nothing named",
        by_wall.wall,
        by_wall.cpu,
    )
