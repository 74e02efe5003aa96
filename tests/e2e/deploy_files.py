"""Files of deploy/, read for tests: the Dockerfile's instructions, the flags that manifests may name."""

import os
import re

import harness

DEPLOY = os.path.join(harness.SOURCE, "deploy")
DOCKER = os.path.join(DEPLOY, "docker")
PORT = 7470
HTTP_PORT = 7480


def text_of(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as f:
        return f.read()


def version():
    return re.search(r"^project\(merganser VERSION (\S+)",
                     text_of(harness.SOURCE, "CMakeLists.txt"), re.MULTILINE).group(1)


def flags_of(command):
    """Flags that a command of the program knows."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", harness.run(command, "--help").out))


class Dockerfile:
    """Instructions, (word, rest), stage by stage; comments and continuations resolved."""

    def __init__(self):
        text = re.sub(r"^\s*#.*\n", "", text_of(DOCKER, "Dockerfile"), flags=re.MULTILINE)
        text = re.sub(r"\s*\\\n\s*", " ", text)
        self.stages = []
        for line in filter(None, (x.strip() for x in text.splitlines())):
            word, rest = line.split(None, 1)
            if word == "FROM":
                self.stages.append((rest.split(" AS ")[1], []))
            self.stages[-1][1].append((word, rest))

    def all(self, stage, word):
        return [rest for w, rest in dict(self.stages)[stage] if w == word]
