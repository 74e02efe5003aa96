"""Running the program, and the shortest recipe of every method over one base and two experts."""

import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("MERGANSER_SOURCE_DIR",
                        os.path.dirname(os.path.dirname(os.path.dirname(HERE))))
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))

# What `linear` weighs base and experts by, so that no two of them can be mistaken for one another.
WEIGHTS = (0.2, 0.3, 0.5)
_VALUES = {"weight": 1, "t": 0.5}


def run(*arguments):
    """(exit code, stdout, stderr) of the program."""
    done = subprocess.run([BIN, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


def methods():
    """The methods' descriptions, as the program gives them."""
    code, out, err = run("methods", "--json")
    if code != 0:
        raise RuntimeError(err)
    return json.loads(out)["methods"]


def recipe(method, base, experts):
    """The shortest recipe of a method's description; `linear` has WEIGHTS over all three."""
    if method["name"] == "linear":
        return {"merge_method": "linear", "out_dtype": "float32",
                "models": [{"model": m, "parameters": {"weight": w}}
                           for m, w in zip([base] + experts, WEIGHTS)]}
    count = method["max_models"] or len(experts)
    body = {"merge_method": method["name"], "out_dtype": "float32",
            "models": [{"model": m} for m in experts[:count]]}
    if method["base"] == "required":
        body["base_model"] = base
    needed = {p["key"]: _VALUES[p["key"]] for p in method["parameters"] if p["required"]}
    if needed:
        body["parameters"] = needed
    return body


def write(path, body):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(body, f)
    return path


def plan(path):
    """(what went wrong or "", warnings) of a recipe's plan."""
    code, out, err = run("plan", "--json", path)
    if code != 0:
        return err or "exit code %d" % code, []
    return "", json.loads(out).get("warnings", [])


def merge(path, output):
    """What went wrong, or "" for a merge that ended well."""
    code, _, err = run("merge", path, output, "--threads", "1", "--memory", "1GiB")
    return "" if code == 0 else err or "exit code %d" % code
