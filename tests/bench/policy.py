#!/usr/bin/env python3
"""make bench-policy: v1, v2 and paced side by side on the real binary, and beside the simulated figures.

The runs of every other scenario go at the same time, then those of the others, each with its own Redis, simulator and workers: they
wait most of the time, and what disturbs one disturbs all. ONLY=text runs the scenarios whose name has it, POLICIES=v2,paced
those policies, QUICK=1 a third of the time, FAIR=off without turns of tenants; OUT=file gets the table too, as Markdown.
"""

import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from scenarios import SCENARIOS  # noqa: E402

POLICIES = os.environ.get("POLICIES", "v1,v2,paced").split(",")
ONLY = os.environ.get("ONLY", "")
QUICK = bool(os.environ.get("QUICK"))
OUT = os.environ.get("OUT")
COLUMNS = ("scenario", "policy", "workers", "utilisation %", "refusals per 1000", "primary share %", "success %",
           "mean s", "p95 s", "Redis operations a job", "besides", "simulated: utilisation / refusals")
# What the scenario was made for, in words.
BESIDES = {"halved": "yields in {:.0f} s", "doubled": "found in {:.0f} s", "up": "back in {:.0f} s",
           "quiet_primary": "quiet tenant: primary {:.0f} %", "quiet_p95": "p95 {:.1f} s"}


def busy_seconds():
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(word) for word in stat.readline().split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def start(number, policy, workers, seed):
    words = [sys.executable, HERE / "policy_run.py", number, policy, workers, seed, *(["quick"] if QUICK else [])]
    return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)


def mean_of(runs):
    """Figure by figure."""
    return {name: None if first is None else sum(run[name] for run in runs) / len(runs)
            for name, first in runs[0].items()}


def figure(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def row(scenario, policy, workers, figures):
    besides = ", ".join(words.format(figures[name]) for name, words in BESIDES.items()
                        if figures.get(name) is not None)
    return (scenario.name, policy, str(workers), figure(figures["utilisation"], 1),
            figure(figures["refusals"], 1), figure(figures["primary"], 1), figure(figures["success"], 1),
            figure(figures["mean"], 2), figure(figures["p95"], 2), figure(figures["operations"], 2),
            besides, scenario.simulated.get(policy, ""))


def as_markdown(rows):
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def as_text(rows):
    widths = [max(len(cells[n]) for cells in [COLUMNS, *rows]) for n in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
                     for cells in [COLUMNS, *rows])


def repeats_of(each):
    return 1 if QUICK else SCENARIOS[each[0]].repeats


def run_wave(plan):
    """All of it at once. Returns the rows of the table, by what they are of."""
    runs, rows = {each: [start(*each, seed) for seed in range(1, 1 + repeats_of(each))] for each in plan}, {}
    every = [run for some in runs.values() for run in some]
    longest = max(SCENARIOS[number].seconds for number, _, _ in plan) / (3 if QUICK else 1)
    print(f"{len(every)} runs at once, {longest + 60:.0f} s at most", file=sys.stderr)
    try:
        for each in plan:
            said = [run.communicate()[0] for run in runs[each]]
            number, policy, workers = each
            if any(run.returncode != 0 for run in runs[each]):
                sys.exit(f"a run of {SCENARIOS[number].name}, {policy}, failed")
            rows[each] = row(SCENARIOS[number], policy, workers, mean_of([json.loads(one) for one in said]))
    finally:
        for run in every:
            run.terminate()
        for run in every:
            run.wait()
    return rows


def main():
    plan = [(number, policy, workers)
            for number, scenario in enumerate(SCENARIOS) if ONLY in scenario.name
            for workers in scenario.workers for policy in POLICIES]
    began, busy = time.monotonic(), busy_seconds()
    by_plan = {}
    for half in 0, 1:  # all at once would keep the machine too busy
        wave = [each for each in plan if each[0] % 2 == half]
        by_plan |= run_wave(wave) if wave else {}
    rows = [by_plan[each] for each in plan]
    seconds = time.monotonic() - began
    load = f"{100 * (busy_seconds() - busy) / seconds / os.cpu_count():.0f} % of {os.cpu_count()} processors busy"
    print(as_text(rows))
    print(f"\n{seconds:.0f} s, {load}")
    if OUT:
        date = datetime.date.today().isoformat()
        Path(OUT).write_text(f"`make bench-policy`, {date}, {load}:\n\n{as_markdown(rows)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
