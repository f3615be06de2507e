#!/usr/bin/env python3
"""What became of each job, judged from what was seen from outside, and from that alone.

A record is plain data, as chaos.py collects it (see `empty_record`): `judge` can be tried with one that was
tampered with, and one that was kept can be judged again: judge.py RECORD.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

RECOVERY_S = 15.0
SILENCE_S = 2.0
# What docs/reliability.md says of lines on which packets vanish: deadlines end those connections.
DEAD_LINE_S = 12.0
DEAD_LINES = ("packets to Redis dropped", "packets to Redis, a fifth lost")
# Two clocks of one host, the simulator's and ours, and the time a line of its log takes.
SLACK_S = 0.1
# A request that is on its way as its job is cancelled arrives a moment later, and is aborted.
ON_ITS_WAY_S = 1.0
NO_PERMIT = re.compile(r"no model takes a call for another ([0-9.]+) s")
# What may stay when all is over; docs/redis-keys.md explains each.
LASTING = re.compile(r"headgate:\{(m:[^}]+\}:\w+|[^}]+\}:(result:.+|reply:.+|stats|dead|crashes|cancelled))"
                     r"|\{[^}]+\}replies|\{[^}]+\}chaos-probe")
OF_A_JOB = re.compile(r"headgate:\{[^}]+\}:(?:result|reply):(.+)")
# Of these an end that did not succeed is fine too: {kind of job: its state}.
OTHER_ENDS = {"cancelled": "cancelled", "expires": "expired"}


def empty_record(**fields):
    return {
        "jobs": {},  # id: kind, queue, pushed_at, unclear (how often pushed again), and what matters of its fields
        "results": {},  # id: the final result
        "replies": {},  # id: how many
        "shared": {},  # id: how many in the list that it named in reply_to
        "letters": [],  # dead letters: queue, id, kind
        "calls": [],  # of the simulator: id, at, ms, model, outcome
        "deaths": [],  # workers' ends and sleeps: kind, at, until, slot, held (ids; None: not known), taken_at
        "outages": [],  # of Redis: name, since, to, queues
        "model_outages": [],  # name, since, to, everybody (or the workers on one line)
        "remains": {},  # key: how many, when all was over
        "complaints": [],  # what was found while it ran
        "began": 0.0, "seconds": 0.0,
        "leniency": 1.0,  # the bounds of time are so much wider, for a host that is busy with other things
        **fields,
    }


def judge(record):
    """Returns (promises that were broken, figures)."""
    broken, figures = list(record["complaints"]), {}
    for check in (ends, replies, letters, repeated_calls, late_calls, waits, silences, durations,
                  remains):
        check(record, broken, figures)
    return broken, figures


def good_jobs(record):
    return {name: job for name, job in record["jobs"].items() if job["kind"] != "bad"}


def overlap(since, to, outages):
    return sum(max(0.0, min(to, o["to"]) - max(since, o["since"])) for o in outages)


def is_crashed(result):
    return (result.get("error") or {}).get("kind") == "crashed"


def ends(record, broken, figures):
    results = record["results"]
    lost = [name for name in good_jobs(record) if name not in results]
    figures["lost"] = len(lost)
    if lost:
        broken.append(f"{len(lost)} jobs have no end: {lost[:10]}")
    figures["states"] = dict(Counter(result["state"] for result in results.values()))
    for name, result in results.items():
        job = record["jobs"][name]
        for wrong in wrong_end(record, name, job, result):
            broken.append(f"{name} ({job['kind']}) {wrong}")


def wrong_end(record, name, job, result):
    state, kind = result["state"], job["kind"]
    if is_crashed(result):
        deaths = sum(death["held"] is None or name in death["held"] for death in record["deaths"])
        if deaths < 3:
            yield f"is given up as crashed after {deaths} deaths"
    elif state != "succeeded" and state != OTHER_ENDS.get(kind):
        yield f"ended {state}: {result.get('error')}"
    if result["id"] != name or result["queue"] != job["queue"]:
        yield f"has the result of {result['id']} in {result['queue']}"
    if state == "expired" and possible_start(result) < job["expires_at"] - SLACK_S:
        yield f"expired {job['expires_at'] - result['finished_at']:.1f} s too soon: {result['error']}"
    if state == "succeeded" and kind == "expires" and result["started_at"] > job["expires_at"] + SLACK_S:
        yield f"was started {result['started_at'] - job['expires_at']:.1f} s after it expired"
    if job.get("models") and state == "succeeded" and result["model"] not in job["models"]:
        yield f"was answered by {result['model']}, which it did not name"


def possible_start(result):
    """Of an expired job: by its own word, no model took a call before."""
    said = NO_PERMIT.search(result["error"]["message"])
    return result["finished_at"] + (float(said[1]) if said else 0)


def replies(record, broken, figures):
    doubly = [name for name in record["results"] if record["replies"].get(name) != 1]
    doubly += [name for name, job in record["jobs"].items()
               if job["kind"] == "replied" and record["shared"].get(name) != 1]
    figures["doubly final"] = len(doubly)
    if doubly:
        told = [(name, record["replies"].get(name), record["shared"].get(name)) for name in doubly[:10]]
        broken.append(f"{len(doubly)} jobs have not exactly one reply: {told}")


def letters(record, broken, figures):
    kinds = Counter(letter["kind"] for letter in record["letters"])
    figures["dead letters"] = dict(kinds)
    bad = [job for job in record["jobs"].values() if job["kind"] == "bad"]
    unclear = sum(job["unclear"] for job in bad)
    if not len(bad) <= kinds["bad_job"] <= len(bad) + unclear:
        broken.append(f"{len(bad)} bad jobs, pushed again {unclear} times, but "
                      f"{kinds['bad_job']} letters")
    crashed = {name for name, result in record["results"].items() if is_crashed(result)}
    if Counter(crashed) != Counter(l["id"] for l in record["letters"] if l["kind"] == "crashed"):
        broken.append(f"the letters of crashed jobs are not those of {sorted(crashed)}")
    odd = set(kinds) - {"bad_job", "crashed"}
    if odd:
        broken.append(f"letters that nothing explains: {sorted(odd)}")
    poison = [name for name, job in record["jobs"].items() if job["kind"] == "poison"]
    if poison:
        figures["poison jobs given up"] = f"{len(crashed & set(poison))} of {len(poison)}"


def calls_by_job(record):
    found = defaultdict(list)
    for call in sorted(record["calls"], key=lambda call: call["at"]):
        found[call["id"]].append(call)
    return found


def explained(record, name, call, following):
    """Why a call that was answered had to be made again: 'death', 'line' or None."""
    for death in record["deaths"]:
        if ((death["held"] is None or name in death["held"])
                and call["at"] <= death["until"] + SLACK_S and following["at"] >= death["at"] - SLACK_S):
            return "death"
    end = call["at"] + call["ms"] / 1000
    if any(outage["since"] - 0.5 <= end and call["at"] <= outage["to"] + 0.5
           for outage in record["model_outages"]):
        return "line"
    return None


def repeated_calls(record, broken, figures):
    reasons, wild = Counter(), []
    for name, calls in calls_by_job(record).items():
        paid = [call for call in calls if call["outcome"] == "ok"]
        for call, following in zip(paid, paid[1:]):
            reason = explained(record, name, call, following)
            reasons[reason] += 1
            if reason is None:
                wild.append(name)
    allowed = sum(len(death["held"] or ()) for death in record["deaths"])
    figures["model calls repeated"] = (
        f"{reasons['death']} ({allowed} jobs were in flight at kills, sleeps and ends of a drain), "
        f"and {reasons['line']} whose answer a broken line to the models ate")
    if wild:
        broken.append(f"{len(wild)} calls were repeated without a reason: {wild[:10]}")


def was_on_its_way(record, call, finished_at):
    """Given up by its worker before it arrived, which takes longer where a line was held up."""
    return call["outcome"] == "aborted" and (call["at"] <= finished_at + ON_ITS_WAY_S or any(
        outage["since"] <= call["at"] <= outage["to"] + (outage["to"] - outage["since"]) + 1
        for outage in record["model_outages"]))


def late_calls(record, broken, figures):
    late = [call["id"] for call in record["calls"] if call["id"] in record["results"]
            and call["at"] > record["results"][call["id"]]["finished_at"] + SLACK_S
            and not was_on_its_way(record, call, record["results"][call["id"]]["finished_at"])]
    figures["calls for a result that stood already"] = len(late)
    early = [call["id"] for call in record["calls"] if call["id"] in record["jobs"]
             and call["at"] < record["jobs"][call["id"]].get("run_at", 0) - SLACK_S]
    if early:
        broken.append(f"calls were made before the job's run_at: {early[:10]}")
    if late:
        broken.append(f"calls were made for results that stood already: {late[:10]}")


def held_up(since, to, outages):
    """How much of this time nothing could be done: while all was away, and for as long as it takes to
    come back."""
    met = [o for o in outages if o["to"] > since and o["since"] < to]
    return overlap(since, to, met) + (2 * SILENCE_S if met else 0)


def hindrances(record):
    """Of a job's next call. Models that were away as a whole are tried again with growing pauses: for
    as long again as they were away."""
    return record["outages"] + [
        {**o, "to": 2 * o["to"] - o["since"]} for o in record["model_outages"] if o["everybody"]]


def waits(record, broken, figures):
    """From a worker's death until its jobs are in the hands of the others, and to their next sign."""
    calls, taken, longest, count = calls_by_job(record), 0.0, 0.0, 0
    for death in record["deaths"]:
        if death["kind"] == "drain":
            continue
        if death["taken_at"] is None and death["held"]:
            broken.append(f"a worker's {death['kind']} at {death['at'] - record['began']:.1f} s left a record")
        elif death["held"]:
            wait = death["taken_at"] - death["at"]
            wait -= held_up(death["at"], death["taken_at"], record["outages"])
            taken = max(taken, wait)
            if wait > RECOVERY_S * record["leniency"]:
                broken.append(f"{len(death['held'])} jobs were taken over {wait:.1f} s after a worker's "
                              f"{death['kind']} at {death['at'] - record['began']:.1f} s")
        for name in set(death["held"] or ()) & set(record["results"]):
            again = [call["at"] for call in calls[name] if call["at"] > death["at"]]
            sign = min([*again, max(record["results"][name]["finished_at"], death["at"])])
            wait = sign - death["at"] - held_up(death["at"], sign, hindrances(record))
            count, longest = count + 1, max(longest, wait)
            if wait > RECOVERY_S * record["leniency"]:
                broken.append(f"{name} waited {wait:.1f} s after its worker's {death['kind']} at "
                              f"{death['at'] - record['began']:.1f} s")
    figures["longest wait after a kill, until others had the jobs"] = f"{taken:.1f} s"
    figures["longest wait after a kill, until the next call or the end"] = f"{longest:.1f} s ({count} jobs)"


def silences(record, broken, figures):
    """From the moment Redis takes a queue's writes again to the next sign of that queue's jobs."""
    signs = defaultdict(list)
    for call in record["calls"]:
        if call["id"] in record["jobs"]:
            signs[record["jobs"][call["id"]]["queue"]].append(call["at"])
    for name, result in record["results"].items():
        signs[record["jobs"][name]["queue"]].append(result["finished_at"])
    longest = {SILENCE_S: (0.0, "-"), DEAD_LINE_S: (0.0, "-")}
    for outage in record["outages"]:
        bound = DEAD_LINE_S if outage["name"] in DEAD_LINES else SILENCE_S
        for queue in outage["queues"]:
            silence = silence_after(record, outage, signs[queue], bound)
            longest[bound] = max(longest[bound], (silence, outage["name"]))
            if silence > bound * record["leniency"]:
                broken.append(f"nothing of {queue} happened for {silence:.2f} s after "
                              f"{outage['name']!r} was over at {outage['to'] - record['began']:.1f} s")
    for bound, what in ((SILENCE_S, "Redis was back"), (DEAD_LINE_S, "packets reached Redis again")):
        if bound == SILENCE_S or longest[bound][1] != "-":
            seconds, name = longest[bound]
            figures[f"longest silence after {what}"] = f"{seconds:.2f} s ({name})"


def silence_after(record, outage, signs, bound):
    """0 where another outage, or the end of the jobs, leaves nothing to expect."""
    since = outage["to"]
    until = min((at for at in signs if at >= since), default=since + 10 * bound)
    disturbed = [o for o in record["outages"] if o is not outage and o["since"] <= until and o["to"] > since]
    disturbed += [o for o in record["model_outages"] if o["everybody"]
                  and o["since"] <= until and since < o["to"] + (o["to"] - o["since"]) + SILENCE_S]
    if disturbed or since > record["began"] + record["seconds"] - bound:
        return 0.0
    return until - since


def durations(record, _broken, figures):
    results = record["results"]
    ran = [r["finished_at"] - r["started_at"] for r in results.values() if r["started_at"]]
    whole = [r["finished_at"] - record["jobs"][name]["pushed_at"] for name, r in results.items()
             if "run_at" not in record["jobs"][name]]
    for what, times in (("start to end", ran), ("push to end", whole)):
        times.sort()
        if times:
            figures[f"{what}, p50 and p99"] = (
                f"{times[len(times) // 2]:.2f} s, {times[len(times) * 99 // 100]:.2f} s")


def remains(record, broken, _figures):
    for key, size in record["remains"].items():
        owner = OF_A_JOB.fullmatch(key)
        if size and not LASTING.fullmatch(key):
            broken.append(f"something is left in {key}: {size}")
        elif owner and owner[1] not in record["jobs"]:
            broken.append(f"nobody pushed the job of {key}")


def main():
    broken, figures = judge(json.loads(Path(sys.argv[1]).read_text()))
    for name, value in figures.items():
        print(f"{name}: {value}")
    for what in broken:
        print(f"broken: {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
