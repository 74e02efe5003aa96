"""The commands of deploy/README.md: blocks marked ```sh, or ```sh WORD for those that need
more than the program (WORD says what)."""

import os
import re
import subprocess

import harness

README = os.path.join(harness.SOURCE, "deploy", "README.md")
_BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# One shell runs all blocks of a kind, and ends what they left running.
_FRAME = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
set -x
%s
"""


def blocks(kind=""):
    """The texts of the blocks of a kind, in order."""
    with open(README, encoding="utf-8") as f:
        return [m.group(2) for m in _BLOCK.finditer(f.read()) if m.group(1) == kind]


def kinds():
    with open(README, encoding="utf-8") as f:
        return sorted({m.group(1) for m in _BLOCK.finditer(f.read())})


def run(kind, folder, env, timeout=harness.LIMIT, recipe=None):
    """Runs all blocks of a kind from the repository's root. RECIPE, OUTPUT and RUN are what the
    page says they are, inside `folder`. Returns the result."""
    recipe = recipe or harness.recipe(os.path.join(folder, "recipe.yaml"), "resmerge",
                            harness.SAMPLE_BASE, harness.SAMPLE)
    given = {"RECIPE": recipe, "OUTPUT": os.path.join(folder, "merged"),
             "RUN": os.path.join(folder, "run"),
             "PATH": os.path.dirname(os.path.abspath(harness.BIN)) + os.pathsep
                     + env.get("PATH", os.environ.get("PATH", os.defpath))}
    script = os.path.join(folder, "readme-%s.sh" % (kind or "plain"))
    with open(script, "w", encoding="utf-8") as f:
        f.write(_FRAME % "\n".join(blocks(kind)))
    # Into a file: what the commands leave running must not hold a pipe.
    with open(script + ".out", "w+", encoding="utf-8") as out:
        done = subprocess.run(["bash", script], cwd=harness.SOURCE, stdin=subprocess.DEVNULL,
                              stdout=out, stderr=out, timeout=timeout,
                              env=dict(harness.environment(), **dict(env, **given)))
        out.seek(0)
        return harness.Result(["bash", script], done.returncode, "", out.read())
