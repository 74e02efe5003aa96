"""The page of a soak: what was run, whether its lines are flat, and their pictures."""

import collections
import datetime
import html
import os
import platform

import harness
import soak_samples

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 150, 64, 22, 20

NAMES = {"memory": "memory", "descriptors": "descriptors", "threads": "threads",
         "journal": "size of the journal", "list": "time to list 50 jobs",
         "get": "time to get a job"}


def shown(what, value):
    if what in ("memory", "journal"):
        return "%.1f MiB" % (value / soak_samples.MIB)
    if what in ("list", "get"):
        return "%.1f ms" % value
    return "%.0f" % value


def picture(title, points, events, show, half):
    """A line over time as SVG. `events`: seconds, drawn as marks; `half`: from where it is judged."""
    last = points[-1][0] or 1
    top = max(v for _, v in points) * 1.1 or 1

    def x(seconds):
        return LEFT + (WIDTH - LEFT - 8) * seconds / last

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)

    path = " ".join("%.1f,%.1f" % (x(t), y(v)) for t, v in points)
    marks = "".join('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#c60" stroke-width="0.5"/>'
                    % (x(t), x(t), HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4) for t in events)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" font-family="sans-serif" '
        'font-size="11"><rect width="{w}" height="{h}" fill="#fff"/>'
        '<rect x="{half:.1f}" y="{top}" width="{late:.1f}" height="{plot}" fill="#eef3fa"/>'
        '<text x="{left}" y="14" fill="#222">{title}</text>'
        '<text x="{label}" y="{high}" text-anchor="end" fill="#555">{most}</text>'
        '<text x="{label}" y="{low}" text-anchor="end" fill="#555">0</text>'
        '<text x="{right}" y="{under}" text-anchor="end" fill="#555">{minutes:.1f} min</text>'
        '<polyline points="{path}" fill="none" stroke="#246" stroke-width="1.2"/>{marks}</svg>\n'
    ).format(w=WIDTH, h=HEIGHT, half=x(half), top=TOP, late=x(last) - x(half),
             plot=HEIGHT - TOP - BOTTOM, left=LEFT, title=html.escape(title), label=LEFT - 6,
             high=TOP + 8, low=HEIGHT - BOTTOM, most=show(top), right=WIDTH - 8,
             under=HEIGHT - 5, minutes=last / 60, path=path, marks=marks)


def verdict(run, judged):
    """One line."""
    rising = ["%s's %s" % (line.who, NAMES[line.what]) for line in judged if not line.flat]
    if run.problems:
        return "%d problems" % len(run.problems) + (
            "; rising: " + ", ".join(rising) if rising else "")
    short = run.seconds < 60 * soak_samples.LEAST_MINUTES
    if short:
        return ("all outputs as undisturbed, nothing left; too short to judge lines (%d minutes at "
                "least)" % soak_samples.LEAST_MINUTES)
    if rising:
        return "all outputs as undisturbed, nothing left; rising: " + ", ".join(rising)
    return "all outputs as undisturbed, nothing left, all lines flat"


def table(judged):
    rows = ["| of | what | median | most | rise over the second half | allowed | |",
            "| --- | --- | --- | --- | --- | --- | --- |"]
    for line in judged:
        rows.append("| %s | %s | %s | %s | %s | %s | %s |" % (
            line.who, NAMES[line.what], shown(line.what, line.median), shown(line.what, line.most),
            shown(line.what, line.growth), shown(line.what, line.allowed),
            "flat" if line.flat else "**rising**"))
    return rows


def write(out, run, judged, samples, events, seed):
    """soak.md and its pictures into the folder `out`. `events`: (seconds, kind)."""
    minutes = samples[-1]["time"] / 60
    counts = collections.Counter(kind for _, kind in events)
    jobs = sum(run.done.values())
    text = [
        "# A soak of %.0f minutes" % minutes, "",
        "Verdict: %s." % verdict(run, judged), "",
        "%s, %d processors (%s), seed %d, `%s`." % (
            datetime.date.today().isoformat(), os.cpu_count(), platform.processor() or
            platform.machine(), seed, harness.run("--version").out.splitlines()[0]), "",
        "%d jobs of %d kinds (%d of each at least; %d were given up after five disturbances of one unit "
        "and submitted again), %d disturbances: %s. %d leases were lost and %d failed under the last "
        "coordinator." % (
            jobs, len(run.done), min(run.done.values()), run.given_up, len(events),
            ", ".join("%s %d" % (kind.replace("_", " "), count)
                      for kind, count in sorted(counts.items())) or "none",
            samples[-1]["leases_lost_total"], samples[-1]["leases_failed_total"]), ""]
    text += ["## Problems", ""] + ["- " + p.replace("\n", " ") for p in run.problems] + [""] \
        if run.problems else []
    text += ["## Lines", "",
             "Of the coordinator (until 40 % of the time it is killed and started again, then the last "
             "one lives on), of the worker that lives all the time, and of calls over HTTP. The rise "
             "is the median slope between medians of twelfths of the second half (blue), times its "
             "length. Marks are disturbances.", ""]
    text += table(judged) + [""]
    at = [t for t, _ in events]
    for line in judged:
        name = "%s-%s.svg" % (line.who, line.what)
        first, last = line.points[0][0], line.points[-1][0]
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            f.write(picture("%s: %s" % (line.who, NAMES[line.what]), line.points, at,
                            lambda v, what=line.what: shown(what, v), (first + last) / 2))
        text.append("![%s of the %s](%s)" % (NAMES[line.what], line.who, name))
    points = [(s["time"], len(s["workers"])) for s in samples]
    with open(os.path.join(out, "workers.svg"), "w", encoding="utf-8") as f:
        f.write(picture("workers that run", points, at, lambda v: "%.0f" % v, points[-1][0] / 2))
    text += ["![workers that run](workers.svg)", "", "## Jobs", "", "| kind | jobs |", "| --- | --- |"]
    text += ["| %s | %d |" % item for item in sorted(run.done.items())]
    with open(os.path.join(out, "soak.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(text) + "\n")
