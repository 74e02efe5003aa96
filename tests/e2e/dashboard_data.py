"""Made-up jobs, workers and plans for the pages of the dashboard, as the JSON API gives them."""

import datetime
import random


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ"
    )


RECIPE = """# Three experts, merged where they agree.
merge_method: resmerge
base_model: /shared/qwen2.5-7b
models:
  - model: /shared/rl-math
  - model: /shared/rl-code
  - model: /shared/rl-tools
parameters:
  rank_topk: 1
"""

MIB = 1 << 20
GIB = 1 << 30


def job(number, state, created, **more):
    total, done = 114, {"RUNNING": 64, "PUBLISHING": 114, "SUCCEEDED": 114}.get(state, 0)
    ended = state in ("SUCCEEDED", "FAILED", "CANCELLED")
    begun = state not in ("QUEUED",)
    found = {
        "name": "jobs/%08x" % number,
        "uid": "uid-%d" % number,
        "recipe_source": "merge.yaml",
        "directories": ["/shared"],
        "output_uri": "/shared/merged/job-%d" % number,
        "overwrite": False,
        "state": state,
        "cancelling": False,
        "error": None,
        "progress": {
            "units_total": str(total if state not in ("QUEUED", "PLANNING") else 0),
            "units_done": str(done),
            "bytes_total": str(100 * GIB if done else 0),
            "bytes_done": str(int(100 * GIB * done / total)),
            "units_leased": 7 if state == "RUNNING" else 0,
            "workers": 6 if state == "RUNNING" else 0,
            "retries": "3" if state == "RUNNING" else "0",
            "detail": "",
        },
        "create_time": stamp(created),
        "start_time": stamp(created + 20) if begun else None,
        "finish_time": stamp(created + 172) if ended else None,
        "report_summary": "",
        "warnings": [],
        "events": [],
        "priority": 0,
        "owner": "post-training",
        "display_name": "qwen2.5-7b-run-%d" % number,
        "labels": {},
        "method": "resmerge",
        "models": ["/shared/rl-math", "/shared/rl-code", "/shared/rl-tools"],
        "pace": None,
        "verdict": "",
        "bytes_read": str(int(74.3 * GIB) if done else 0),
        "bytes_written": str(int(7.95 * GIB) if done else 0),
    }
    if state == "RUNNING":
        found["pace"] = {
            "bytes_read_per_second": str(388 * MIB),
            "bytes_written_per_second": str(97 * MIB),
            "time_left": "65s",
            "diagnosis": {
                "kind": "READING",
                "text": "Reading is the limit. The workers spend 63 % of their time "
                "waiting for storage, and 17 % computing.",
                "advice": "More workers help only while the storage has more to give.",
            },
        }
    if state == "SUCCEEDED":
        found["verdict"] = "The experts agree a little more than chance almost everywhere."
    if state == "FAILED":
        found["error"] = {
            "code": 3,
            "reason": "REQUEST_WRONG",
            "message": "slerp takes 1 model beside the base, found 2",
        }
    found.update(more)
    return found


def some_jobs(now, many=0):
    """A dozen of every state, and as many ended ones before them."""
    list_ = [
        job(
            1,
            "RUNNING",
            now - 262,
            display_name="qwen2.5-7b-math-code-tools",
            priority=10,
            labels={"sweep": "7"},
            recipe=RECIPE,
        ),
        job(2, "RUNNING", now - 720, display_name="moe-61l-256e-reasoning", method="ties"),
        job(
            3,
            "RUNNING",
            now - 1860,
            display_name="llama-70b-rl-nightly",
            owner="nightly",
            method="scf_rkl",
        ),
        job(4, "PUBLISHING", now - 130, display_name="qwen2.5-0.5b-della-sweep-07", owner="sweeps"),
        job(5, "PLANNING", now - 38, display_name="qwen2.5-14b-tools-v3"),
        job(6, "QUEUED", now - 120, display_name="qwen2.5-0.5b-della-sweep-08", owner="sweeps"),
        job(7, "QUEUED", now - 110, display_name="qwen2.5-0.5b-della-sweep-09", owner="sweeps"),
        job(
            8,
            "FAILED",
            now - 1560,
            display_name="llama-8b-chat-merge",
            owner="evaluation",
            recipe=RECIPE,
        ),
        job(
            9,
            "SUCCEEDED",
            now - 2460,
            display_name="sample-experts-resmerge",
            owner="quickstart",
            recipe=RECIPE,
        ),
        job(10, "CANCELLED", now - 4200, display_name="qwen2.5-7b-first-try", recipe=RECIPE),
    ]
    list_[2]["pace"]["diagnosis"] = {
        "kind": "STORAGE",
        "text": "Waits for storage: /shared/ckpt is not mounted. Finished units are kept.",
        "advice": "Mount it, or cancel the merge.",
    }
    list_[5]["progress"]["detail"] = "Second in the queue"
    list_[6]["progress"]["detail"] = "Third in the queue"
    for i in range(many):
        list_.append(
            job(
                100 + i,
                ("SUCCEEDED", "SUCCEEDED", "CANCELLED")[i % 3],
                now - 8000 - 60 * i,
                owner=("post-training", "sweeps", "nightly")[i % 3],
            )
        )
    return list_


def worker(number, now, speed=70, **more):
    random_ = random.Random(number)
    rates = [
        {
            "bytes_read": str(int(speed * MIB * 10 * random_.uniform(0.8, 1.1))),
            "bytes_written": str(int(speed * MIB * 2 * random_.uniform(0.8, 1.1))),
        }
        for _ in range(60)
    ]
    found = {
        "name": "node-%02d" % number,
        "host": "node-%02d.cluster" % number,
        "version": "0.1.0",
        "threads": 8,
        "memory_bytes": str(32 * GIB),
        "simd": "AVX3",
        "state": "ALIVE",
        "first_seen": stamp(now - 5000),
        "last_seen": stamp(now - 1),
        "holds": [
            {
                "job": "jobs/00000001",
                "unit": 40 + number,
                "round": 1,
                "tensor": "model.layers.%d.mlp.down_proj.weight" % (number % 12),
                "since": stamp(now - 4),
                "bytes_done": "1000",
            }
        ],
        "bytes_read_per_second": str(speed * MIB),
        "bytes_written_per_second": str(speed * MIB // 5),
        "units_done": "12",
        "units_failed": "0",
        "last_trouble": None,
        "rates": {"step_seconds": 10, "begin": stamp(now - 600), "points": rates},
    }
    found.update(more)
    return found


def some_workers(now, count=16):
    list_ = [worker(i + 1, now) for i in range(count)]
    if count >= 12:
        list_[4] = worker(
            5,
            now,
            22,
            units_failed="1",
            last_trouble={
                "time": stamp(now - 120),
                "job": "jobs/00000001",
                "unit": 18,
                "message": "model-00002-of-00004.safetensors: read timed out",
            },
        )
        list_[11] = worker(12, now, 0, state="GONE", last_seen=stamp(now - 48), holds=[])
    return list_


def cluster(jobs, workers, now):
    states = {}
    for each in jobs:
        states[each["state"]] = states.get(each["state"], 0) + 1
    alive = [w for w in workers if w["state"] != "GONE"]
    rate = lambda name: str(sum(int(w[name]) for w in alive))
    points = [
        {
            "bytes_read": str(sum(int(w["rates"]["points"][i]["bytes_read"]) for w in alive)),
            "bytes_written": str(sum(int(w["rates"]["points"][i]["bytes_written"]) for w in alive)),
        }
        for i in range(60)
    ]
    return {
        "version": "0.1.0",
        "epoch": "7",
        "start_time": stamp(now - 90000),
        "jobs": states,
        "workers_alive": len(alive),
        "workers_known": len(workers),
        "bytes_read_per_second": rate("bytes_read_per_second"),
        "bytes_written_per_second": rate("bytes_written_per_second"),
        "rates": {"step_seconds": 10, "begin": stamp(now - 600), "points": points},
        "oldest_queued": "120s" if states.get("QUEUED") else None,
        "queue_detail": "",
        "trouble": "",
    }


def activity(job_, workers, now, points=100):
    created = datetime.datetime.fromisoformat(
        job_["create_time"].replace("Z", "+00:00")
    ).timestamp()
    history = []
    read = written = 0
    random_ = random.Random(4)
    for i in range(points):
        read += int(2 * 388 * MIB * random_.uniform(0.85, 1.1) * (0.4 if 74 < i < 80 else 1))
        written += int(2 * 97 * MIB * random_.uniform(0.9, 1.1)) if i > 45 else 0
        history.append(
            {
                "bytes_read": str(read),
                "bytes_written": str(written),
                "units_done": str(i * 64 // points),
            }
        )
    median = 70 * MIB
    on_job = [
        {
            "name": w["name"],
            "units_done": "12",
            "bytes_per_second": float(w["bytes_read_per_second"]),
            "holds": w["holds"],
            "straggles": 0 < int(w["bytes_read_per_second"]) < median / 2,
            "last_trouble": w["last_trouble"],
        }
        for w in workers
    ]
    event = lambda ago, text: {"time": stamp(now - ago), "text": text}
    return {
        "name": job_["name"],
        "rounds": [
            {
                "number": 0,
                "analyzes": True,
                "units_total": "50",
                "units_done": "50",
                "bytes_total": str(42 * GIB),
                "bytes_done": str(42 * GIB),
            },
            {
                "number": 1,
                "analyzes": False,
                "units_total": "64",
                "units_done": "14",
                "bytes_total": str(58 * GIB),
                "bytes_done": str(32 * GIB),
            },
        ],
        "stages": {"wait": 56.0, "read": 707.0, "compute": 191.0, "write": 123.0, "flush": 45.0},
        "stages_last_minute": {
            "wait": 3.0,
            "read": 71.0,
            "compute": 14.0,
            "write": 9.0,
            "flush": 1.0,
        },
        "phases": [
            {"state": "QUEUED", "begin": stamp(created), "end": stamp(created + 58)},
            {"state": "PLANNING", "begin": stamp(created + 58), "end": stamp(created + 62)},
            {"state": "RUNNING", "begin": stamp(created + 62)},
        ],
        "history": {"step_seconds": 2, "begin": stamp(created + 62), "points": history},
        "slowest": [
            {
                "round": 1,
                "unit": n,
                "seconds": 61.0 - n,
                "worker": "node-05",
                "tensor": "model.layers.%d.mlp.up_proj.weight" % n,
            }
            for n in range(4)
        ],
        "event_kinds": [
            {
                "kind": "UNIT_FAILED",
                "count": "41",
                "first": stamp(now - 58),
                "last": stamp(now - 36),
                "means": "A worker could not do a unit; it is given to another one.",
                "advice": "Look at the worker's log. One worker alone: its storage, token or disk. All of them: the input or the output.",
                "recent": [
                    event(
                        55 - n,
                        "unit %d failed on worker node-%02d: read timed out" % (n, n % 6 + 1),
                    )
                    for n in range(20)
                ],
            },
            {
                "kind": "LEASE_LOST",
                "count": "2",
                "first": stamp(now - 60),
                "last": stamp(now - 48),
                "means": "A worker was silent; it is given to another one.",
                "advice": "See whether that machine is there.",
                "recent": [
                    event(60, "unit 30 was lost by worker node-12: no sync for 20 s"),
                    event(48, "unit 31 was lost by worker node-12: no sync for 20 s"),
                ],
            },
            {
                "kind": "PLANNED",
                "count": "1",
                "first": stamp(now - 200),
                "last": stamp(now - 200),
                "means": "114 units in 2 rounds.",
                "advice": "",
                "recent": [event(200, "planned and started: 114 units, 2 rounds")],
            },
        ],
        "workers": on_job,
    }


PLAN = {
    "parameters": "7615616512",
    "tensors_total": "339",
    "bytes_read": str(99 * GIB),
    "bytes_written": str(14 * GIB),
    "memory_bytes": str(int(19.1 * MIB)),
    "units": "114",
    "rounds": 2,
    "shards": 4,
    "method": "resmerge",
    "read_rate": str(400 * MIB),
    "modes": [
        {"mode": "spectral", "family": "attention", "tensors": 112, "parameters": "591744"},
        {"mode": "spectral", "family": "ffn", "tensors": 84, "parameters": "1769472"},
        {"mode": "mean", "family": "norm", "tensors": 57, "parameters": "2496"},
    ],
    "warnings": [
        {
            "text": "One threshold for each expert over the whole model.",
            "line": 9,
            "key": "rank_topk",
        }
    ],
    "models": [
        {
            "given": "/shared/qwen2.5-7b",
            "uri": "file:///shared/qwen2.5-7b",
            "base": True,
            "shards": 4,
            "bytes": str(14 * GIB),
            "origin": "stored as BF16",
        },
        {
            "given": "/shared/rl-math",
            "uri": "file:///shared/rl-math",
            "base": False,
            "shards": 4,
            "bytes": str(14 * GIB),
            "origin": "LoRA, 224 of 224 modules, r=16, alpha 32, scale 2, on /shared/qwen2.5-7b, stored as BF16",
        },
    ],
    "tensors": [],
    "next_page_token": "",
}
