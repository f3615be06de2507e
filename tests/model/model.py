#!/usr/bin/env python3
"""make model: the queue's real scripts on a real Redis, in random orders, under random faults.

SEEDS=1000 runs that many, from a random seed on or from SEED; STEPS is the length of one. A run that breaks a
promise is shortened as far as it goes, and told step by step. Exits 1 then.
"""

import os
import random
import signal
import sys
import tempfile
import time

from box import Box
from disorder import Disorder, actions_of
from promises import Broken

STEPS = 400


def run(box, actions, mutation=None):
    """-> (what was broken or None, the trace)"""
    disorder = Disorder(box, mutation)
    try:
        for action in actions:
            disorder.act(action)
        disorder.end(len(actions))
    except Broken as broken:
        return broken, disorder.trace
    return None, disorder.trace


def shorten(box, actions, promise, mutation=None):
    """The same promise broken by fewer actions: chunks are left out as long as that goes."""
    size = len(actions) // 2
    while size:
        at = 0
        while at < len(actions):
            fewer = actions[:at] + actions[at + size:]
            broken, _ = run(box, fewer, mutation)
            if broken and broken.promise == promise:
                actions = fewer
            else:
                at += size
        size //= 2
    return actions


def main():
    seeds, steps = int(os.environ.get("SEEDS") or 1000), int(os.environ.get("STEPS") or STEPS)
    first = os.environ.get("SEED")
    first = int(first) if first else random.SystemRandom().randrange(1_000_000_000)
    began, commands = time.monotonic(), 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not without the server
    with tempfile.TemporaryDirectory() as directory:
        box = Box(directory)
        try:
            for seed in range(first, first + seeds):
                actions = actions_of(seed, steps)
                broken, trace = run(box, actions)
                commands += len(trace)
                if broken:
                    _, trace = run(box, shorten(box, actions, broken.promise))
                    print(*trace, sep="\n")
                    sys.exit(f"SEED={seed} breaks a promise. {broken}")
        finally:
            box.close()
    print(f"{seeds} runs from SEED={first}: {commands} commands in {time.monotonic() - began:.0f} s, "
          "every promise kept")


if __name__ == "__main__":
    main()
