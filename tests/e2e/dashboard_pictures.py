"""Pictures of merges for the pages of the dashboard, made of reports that the program wrote."""

import array
import base64
import copy
import json
import math
import re

import harness
import make_report

EXPERTS = 3
NAN = float("nan")


def report_page(folder, layers, experts=0, seed=1):
    """The data of a report's page, as the program writes it."""
    make_report.write(folder, make_report.report(layers, experts, seed))
    result = harness.run("report", folder, "--html", "-")
    assert result.code == 0, str(result)
    return json.loads(
        re.search(
            r'<script type="application/json" id="data">(.*?)</script>', result.out, re.S
        ).group(1)
    )


def comparison_page(one, two):
    result = harness.run("report", one, two, "--html", "-")
    assert result.code == 0, str(result)
    return json.loads(
        re.search(
            r'<script type="application/json" id="data">(.*?)</script>', result.out, re.S
        ).group(1)
    )


class Picture:
    """A report's page of which only the first rows are measured so far."""

    NONE = {"f32": NAN, "u8": 0xFF, "u16": 0xFFFF}
    CODE = {"f32": "f", "u8": "B", "u16": "H"}

    def __init__(self, page):
        self.page = page
        self.columns = []
        for column in page["a"]["columns"]:
            values = array.array(self.CODE[column["type"]], base64.b64decode(column["data"]))
            self.columns.append(values)
        self.rows = page["a"]["tensors"]["count"]
        # Tensors of which something is measured, in their order.
        coherence = next(
            (c, v) for c, v in zip(page["a"]["columns"], self.columns) if c["name"] == "coherence"
        )[1]
        self.gates = [i for i, value in enumerate(coherence) if not math.isnan(value)]
        self.coherence = coherence

    def at(self, measured):
        if measured >= len(self.gates):
            return self.page
        known = set(self.gates[:measured])
        page = {"kind": "report", "a": dict(self.page["a"])}
        side = page["a"]
        side["columns"] = []
        for column, values in zip(self.page["a"]["columns"], self.columns):
            width, none = column["width"], self.NONE[column["type"]]
            cut = array.array(values.typecode, values)
            for row in range(self.rows):
                if row not in known:
                    for place in range(row * width, row * width + width):
                        cut[place] = none
            if known:
                side["columns"].append(dict(column, data=base64.b64encode(cut.tobytes()).decode()))
        low = [row for row in known if self.coherence[row] <= 1 / math.sqrt(EXPERTS)]
        side["summary"] = dict(side["summary"])
        if side["summary"]["fell_back"] is not None:
            side["summary"]["fell_back"] = dict(
                side["summary"]["fell_back"], count=len(low), of=len(known)
            )
        if side["by_expert"] is not None:
            by = copy.deepcopy(side["by_expert"])
            share = measured / len(self.gates)
            for values in by["values"]:
                for i in range(len(values)):
                    if (i + 1) / len(values) > share:
                        values[i] = 0
            side["by_expert"] = by if measured else None
        return page
