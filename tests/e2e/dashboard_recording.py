"""A recorded feed of a large coordinator, for the dashboard to be played: 10,000 jobs, 200 workers and
a picture of 1,001 tensors, and the events of some seconds of them.

It is recorded from no coordinator: it is made by a seed, so that it is the same with every run but for
the time of day, and takes no room in the tree."""

import collections
import random

import dashboard_data as made

JOBS, WORKERS, LAYERS = 10_000, 200, 143
MEASURED = 400  # tensors, before the first event

# events: {view: [(seconds until the next, event, data)]}; the event "measure" of a job has how many
# tensors are measured by then.
Recording = collections.namedtuple("Recording", "seed jobs workers layers events")


def make(now, seed=1):
    chance = random.Random(seed)
    jobs = made.some_jobs(now, JOBS - 10)
    workers = made.some_workers(now, WORKERS)
    assert len(jobs) == JOBS and len(workers) == WORKERS
    return Recording(
        seed,
        jobs,
        workers,
        LAYERS,
        {
            "jobs": [
                (0.15, "jobs", of_jobs(now, jobs, workers, step, chance)) for step in range(8)
            ],
            "workers": [(0.15, "workers", of_workers(workers, step)) for step in range(8)],
            jobs[0]["name"]: [(0.3, "measure", MEASURED + 100 * step) for step in range(1, 4)],
        },
    )


def of_jobs(now, jobs, workers, step, chance):
    """All of the page's rows move, and a hundred jobs that are on other pages."""
    moved = [
        dict(
            job,
            bytes_read=str(step * 1000),
            pace=job["pace"]
            and dict(job["pace"], bytes_read_per_second=str((300 + step) * made.MIB)),
        )
        for job in jobs[:50]
    ]
    others = [dict(job) for job in chance.sample(jobs[1000:], 100)]
    return {"jobs": moved + others, "removed": [], "cluster": made.cluster(jobs, workers, now)}


def of_workers(workers, step):
    """Every one of them has another rate."""
    changed = [dict(w, bytes_read_per_second=str((60 + step) * made.MIB)) for w in workers]
    return {"workers": changed, "removed": []}
