"""What peers.py measured, as tables of markdown."""

import dataclasses
import statistics

import measured

COLUMNS = ("runs | merganser, s | {0}, s | times faster (least - most) | without start and imports "
           "| times less CPU | peak memory, GB | {0}'s (no mapped files) | times less memory "
           "| elements equal | largest difference, of the tensor's largest")


@dataclasses.dataclass
class Group:
    """A table: its title, what its rows are, on which models, what the other program is called, and
    the command that starts it and does nothing, with what it has in its environment."""

    title: str
    rows: str
    models: str
    peer: str
    start: list
    env: dict


@dataclasses.dataclass
class Step:
    """A row of a table: one piece of work for both. `base` of a method that has one."""

    group: str
    label: str
    method: str
    ours: list
    theirs: list
    inputs: list
    base: str = None

    @property
    def key(self):
        return "%s/%s" % (self.group, self.label)


def table(name, group, steps, results):
    """Lines of the table of the group `name`; every one of its steps has a row."""
    starts = results.step("start/" + name)["runs"]
    ours, peer = (statistics.median(run[side]["wall"] for run in starts)
                  for side in ("ours", "peer"))
    yield "\n**%s.** Base and experts of %s in bf16. Of its seconds %.2f are start and imports " \
          "(merganser: %.2f).\n" % (group.title, group.models, peer, ours)
    columns = "%s | %s" % (group.rows, COLUMNS.format(group.peer))
    yield "| %s |" % columns
    yield "|" + " --- |" * (columns.count(" | ") + 1)
    for step in steps:
        kept = results.step(step.key)
        cells = ["0"] + ["failed"] * 10
        if kept["runs"]:
            cells = row(kept["runs"], kept["compared"], ours, peer)
        yield "| `%s` | %s |" % (step.label, " | ".join(cells))


def row(runs, compared, ours_start, peer_start):
    def of(what, *sides):
        return [run[side][what] for run in runs for side in sides]

    def times(what, ours_less=0.0, peer_less=0.0):
        """The other's over ours, of every two neighbours; `-` where nothing could be measured."""
        pairs = [(run["peer"][what] - peer_less, run[side][what] - ours_less)
                 for run in runs for side in ("before", "after")]
        ratios = [theirs / ours for theirs, ours in pairs if theirs > 0 and ours > 0]
        return measured.spread(ratios, 1) if ratios else "-"

    equal = "%.3f %%" % (100 * compared["equal"])
    if compared["changed"]:
        equal += "; changed %.2f and %.2f %%" % tuple(100 * share for share in compared["changed"])
    if compared["wrong"]:
        equal = "WRONG: " + compared["wrong"]
    return [
        str(len(runs)),
        measured.spread(of("wall", "before", "after")),
        measured.spread(of("wall", "peer")),
        times("wall"),
        times("wall", ours_start, peer_start),
        times("cpu"),
        "%.2f" % (max(of("peak", "before", "after")) / 1e9),
        "%.2f (%.2f)" % (max(of("peak", "peer")) / 1e9, max(of("anonymous", "peer")) / 1e9),
        times("peak"),
        equal,
        "%.1e" % compared["largest"],
    ]
