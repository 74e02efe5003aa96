"""Debian packages of a build: made by CPack, which compiles nothing, and looked into."""

import glob
import os
import re
import subprocess

import harness

BUILD = os.path.dirname(os.path.dirname(os.path.abspath(harness.BIN)))
HAS_MPI = os.path.exists(os.path.join(BUILD, "bin", "merganser-mpi"))
NAMES = ["merganser"] + (["merganser-mpi"] if HAS_MPI else []) + ["merganser-service"]


def version():
    """(version, date) of the top CMakeLists.txt."""
    with open(os.path.join(harness.SOURCE, "CMakeLists.txt"), encoding="utf-8") as f:
        text = f.read()
    return (re.search(r"^project\(merganser VERSION (\S+)", text, re.M).group(1),
            re.search(r"^set\(MERGANSER_RELEASE_DATE (\S+)\)", text, re.M).group(1))


def run(*command, **kw):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=harness.LIMIT, check=False, **kw)
    if done.returncode != 0:
        raise AssertionError("%s: exit code %d\n%s\n%s" % (
            " ".join(map(str, command)), done.returncode, done.stdout[-4000:], done.stderr[-4000:]))
    return done.stdout


def make(folder):
    """Paths of the packages of this build by name, made in `folder`."""
    if not os.path.exists(os.path.join(BUILD, "pages", "made")):
        raise AssertionError("%s has no manual pages: build its target merganser_pages first"
                             % BUILD)
    # Faster to make than what is given away, and the same in it.
    run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", folder,
        "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip")
    found = {os.path.basename(p).split("_")[0]: p for p in glob.glob(os.path.join(folder, "*.deb"))}
    if sorted(found) != sorted(NAMES):
        raise AssertionError("found packages %s, expected %s" % (sorted(found), NAMES))
    return found


def fields(package):
    """Control fields; continued lines are joined."""
    text = re.sub(r"\n +", "\n ", run("dpkg-deb", "--field", package))
    return dict(re.findall(r"^(\S+?): (.*(?:\n .*)*)", text, re.M))


def listing(package):
    """{path without the leading ./: (mode, owner)} of all that is in a package."""
    found = {}
    for line in run("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        path = path[2:].rstrip("/")
        if path:
            found[path] = (mode, owner)
    return found


def files(package):
    return sorted(p for p, (mode, _) in listing(package).items() if not mode.startswith("d"))
