"""What the demo prints: a live line, then a table, a result, the worker's own figures."""

import json
import math
import shutil
import sys
import textwrap
import time

TICK_SECONDS = 0.2
PLAIN_SECONDS = 4
BAR = 10
# "Key Improvements" of the Multi-Model V2 reference. Its load and quotas are not known.
PUBLISHED_V2 = {"success": "99 %", "primary": "78 %", "mean": "2.1 s", "cooldowns": "10-30 s"}


class Progress:
    """One line that is redrawn on a terminal, a line now and then elsewhere."""

    def __init__(self):
        self.is_live = sys.stdout.isatty()
        self.printed_at = 0.0

    def show(self, board, throttles, is_last=False):
        if self.is_live:
            columns = shutil.get_terminal_size().columns - 1
            line = f"{bar(board)} {progress_text(board, throttles)}"
            print(f"\r{line[:columns]}\x1b[K", end="\n" if is_last else "", flush=True)
        elif is_last or time.monotonic() - self.printed_at >= PLAIN_SECONDS:
            self.printed_at = time.monotonic()
            print(progress_text(board, throttles), flush=True)


def bar(board):
    filled = BAR * board.done // board.total
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"


def progress_text(board, throttles):
    return (f"{board.elapsed:4.1f} s  {board.done}/{board.total} done, "
            f"{board.in_flight} in flight, primary {board.primary_share:.0f} %, "
            f"throttled {throttles}")


def print_figures(board, figures, cooldowns):
    """`figures`: model -> counters of the cluster, as Redis has them."""
    print_table([
        ("", "this run", "V2, published"),
        ("jobs", str(board.done), ""),
        ("success", percent(len(board.succeeded), board.done), PUBLISHED_V2["success"]),
        ("primary share", f"{board.primary_share:.0f} %", PUBLISHED_V2["primary"]),
        ("response, mean", f"{mean(board):.1f} s", PUBLISHED_V2["mean"]),
        ("response, 95th percentile", f"{percentile(board, 0.95):.1f} s", ""),
        ("throttled calls", str(throttles_of(figures)), ""),
        ("cooldowns", cooldown_text(cooldowns), PUBLISHED_V2["cooldowns"]),
    ])
    print()
    print_table([
        ("model", "calls", "ok", "throttled", "errors"),
        *((model, *(str(counters[name]) for name in ("calls", "successes", "throttles", "errors")))
          for model, counters in figures.items()),
    ])


def print_cross_check(figures, seen):
    """`seen`: the same counters as the other side has them."""
    differences = [f"{model}: {seen.get(model)}" for model, counters in figures.items()
                   if any(counters[name] != seen.get(model, {}).get(name, 0) for name in counters)]
    if differences:
        print("\n  The simulator counted otherwise:", *differences, sep="\n    ")
    else:
        print("\n  The simulator's own count of these calls is the same.")


def throttles_of(figures):
    return sum(counters["throttles"] for counters in figures.values())


def percent(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else "-"


def mean(board):
    return sum(seconds for seconds, _ in board.results) / board.done


def percentile(board, share):
    ordered = sorted(seconds for seconds, _ in board.results)
    return ordered[math.ceil(share * len(ordered)) - 1]


def cooldown_text(cooldowns):
    if not cooldowns:
        return "none"
    shortest, longest = f"{cooldowns[0]:.0f}", f"{cooldowns[-1]:.0f}"
    lengths = shortest if shortest == longest else f"{shortest}-{longest}"
    return f"{len(cooldowns)} of {lengths} s"


def print_table(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "   ".join(cells).rstrip())


def print_result(board):
    """The result with the most calls: one that met a throttle, if any did."""
    result = max(board.succeeded, key=lambda result: len(result["calls"]), default=None)
    if result is None:
        return
    key = f"headgate:{{analyze}}:result:{result['id']}"
    print(f"\nOne of the results, shortened (redis-cli GET '{key}'):")
    print(textwrap.indent(json.dumps(shorten(result), indent=2, ensure_ascii=False), "  "))


def shorten(value):
    """The same structure with less in it; what was left out is said."""
    if isinstance(value, dict):
        return {name: shorten(inner) for name, inner in value.items()}
    if isinstance(value, str) and len(value) > 110:
        return value[:100].rsplit(" ", 1)[0] + " ..."
    if isinstance(value, list) and len(value) > 1 and "confidence" in value[0]:
        return [shorten(value[0]), f"... {len(value) - 1} more"]
    return [shorten(inner) for inner in value] if isinstance(value, list) else value


def print_model_stats(url, text):
    print(f"\n$ curl {url}")
    document = json.loads(text)
    models = document["stats"].pop("models")
    document["stats"]["models"] = []
    head, tail = json.dumps(document, indent=2).rsplit("[]", 1)
    rows = ",\n".join(textwrap.indent(json.dumps(model), "      ") for model in models)
    print(textwrap.indent(f"{head}[\n{rows}\n    ]{tail}", "  "))
