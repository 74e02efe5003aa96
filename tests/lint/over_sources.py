"""Runs one of clang's tools over the program's sources, as they are compiled.

usage: over_sources.py --build FOLDER [--including HEADER] [--since COMMIT] -- TOOL ARGUMENT...

The sources are those of the folder's compile_commands.json, less tests and what is
generated. The tool gets each one's include paths and definitions, and no more of how GCC
compiles it: precompiled headers are GCC's own. Prints what the tool says where it fails;
exits 1 if it failed anywhere.
"""

import argparse
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

TOPS = ("common", "coordinator", "proto", "worker")


def program_sources(commands, build, root):
    """(path from the root, compile command, object) of every source of the program."""
    for entry in commands:
        path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        inner = os.path.relpath(path, root)
        generated = not os.path.relpath(path, build).startswith("..")
        if generated or inner.split(os.sep)[0] not in TOPS:
            continue
        words = shlex.split(entry["command"])
        yield inner, words, words[words.index("-o") + 1]


def objects_including(build, header):
    """The objects whose sources included `header`, directly or not, when they were built."""
    found, current = set(), None
    listing = subprocess.run(["ninja", "-C", build, "-t", "deps"], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    for line in listing.splitlines():
        if line and not line[0].isspace():
            current = line.split(":")[0]
        elif line.strip() == header or line.endswith("/" + header):
            found.add(current)
    return found


def preprocessing(words):
    """What of a compile command says what the source means."""
    kept, at = [], iter(words[1:])
    for word in at:
        if word in ("-I", "-D", "-isystem"):
            kept += [word, next(at)]
        elif word.startswith(("-I", "-D", "-std=", "-isystem")):
            kept.append(word)
    return kept


def changed_since(commit):
    listing = subprocess.run(["git", "diff", "--name-only", "--diff-filter=d", commit],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
    return set(listing.split("\n"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--including")
    parser.add_argument("--since")
    parser.add_argument("tool", nargs="+")
    args = parser.parse_args()
    root, build = os.getcwd(), os.path.abspath(args.build)
    listing = os.path.join(build, "compile_commands.json")
    if not os.path.exists(listing):
        sys.exit("%s: no such file, expected a folder that was built (--build)" % listing)
    with open(listing, encoding="utf-8") as f:
        sources = list(program_sources(json.load(f), build, root))
    if args.including:
        wanted = objects_including(build, args.including)
        sources = [s for s in sources if s[2] in wanted]
    if args.since:
        changed = changed_since(args.since)
        sources = [s for s in sources if s[0] in changed]
    elif not sources:
        sys.exit("%s: names no source that the tool could look at; build it first" % listing)

    def run(source):
        path, words, _ = source
        tidy = "tidy" in os.path.basename(args.tool[0])
        file, flags = [os.path.join(root, path)], preprocessing(words)
        command = args.tool + (file + ["--"] + flags if tidy else flags + file)
        done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE if tidy else subprocess.STDOUT, text=True)
        return path, done.returncode, done.stdout

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, code, said in pool.map(run, sources):
            if code != 0:
                failed += 1
                print("%s: %s failed\n%s" % (path, os.path.basename(args.tool[0]), said))
    print("%s: %d sources, %d failed" % (os.path.basename(args.tool[0]), len(sources), failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
