"""Prometheus' text format, read."""

import re

LINE = re.compile(r'^(?P<name>[a-z0-9_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$')
LABEL = re.compile(r'([a-z0-9_]+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """{name: {labels: value}} of Prometheus' text format, and {name: type}."""
    series, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        if line.startswith("#"):
            continue
        found = LINE.match(line)
        assert found, line
        labels = frozenset(LABEL.findall(found.group("labels") or ""))
        series.setdefault(found.group("name"), {})[labels] = float(found.group("value"))
    return series, types


def read(path):
    with open(path, encoding="utf-8") as f:
        return parse(f.read())


def total(series, name, **labels):
    """The sum of all series of `name` that have these labels."""
    return sum(value for found, value in series.get(name, {}).items()
               if set(labels.items()) <= found)
