"""A worker as the scripts see it: what it sends, and what it makes of the replies.

It follows worker/queue and worker/attempt, but is less careful where they need not be: it claims, begins
and reaps whenever it likes, whatever it could know of its lease. The scripts alone are to keep the promises.
"""

import json
from collections import deque

from box import PREFIX, RedisError

LEASE_MS, TTL_MS, DEAD_MAX, DEATHS_MAX = 12_000, 86_400_000, 1000, 3
CLAIMS_MAX = 4
# What claims are told of tenants, one for all workers; t1 may have one claim at a time, all others two.
MODES, CAPS = ["fair", "plain", "caps"], {"t0": 3, "t1": 1, "*": 3}
TENANTS = json.dumps({"t0": [3, CAPS["t0"]], "t1": [1, CAPS["t1"]], "*": [1, CAPS["*"]]})


def running_prefix(id):
    return f'{{"id":"{id}","state":"running"'


class Job:
    """What a payload says. A bad one may have an id."""

    def __init__(self, payload):
        self.payload = payload
        fields = json.loads(payload) if payload.startswith("{") else {"bad": payload}
        self.id, self.n = fields.get("id", ""), fields.get("n")
        self.is_bad = "bad" in fields
        self.reply_to = "replies" if fields.get("reply_to") else None
        self.tenant = fields.get("tenant", "")


class Claim:
    def __init__(self, worker, token, history, deaths, payload):
        self.token, self.deaths, self.job, self.state = token, deaths, Job(payload), "new"
        attempts, waits, _, id = history.split(" ", 3) if history else (0, 0, 0, "")
        self.attempts, self.waits = int(attempts), int(waits)
        self.id = self.job.id or id or ("" if self.job.is_bad else f"{worker}-{token}")

    def history(self, counter=""):
        attempts, waits = {"retried": (self.attempts + 1, 0), "waited": (self.attempts, self.waits + 1)
                           }.get(counter, (self.attempts, self.waits))
        return f"{attempts} {waits} 7 {self.id}"


class Command:
    """`hear` gets the reply; `fail` runs when there will be none. A step of a claim is repeated."""

    def __init__(self, words, hear, fail, claim=None):
        self.words, self.hear, self.fail, self.claim = words, hear, fail, claim


class Worker:
    mode = MODES[0]

    def __init__(self, name, box):
        self.name, self.box = name, box
        self.pipe, self.replies, self.pops = deque(), deque(), deque()
        self.claims, self.repeats, self.expired = {}, deque(), []
        self.next_token = 1
        self.has_beaten = self.has_more = self.is_claiming = self.is_leaving = False
        self.has_left = False
        self.asleep_until = 0

    # ---- what it may do next ----

    def think(self, dice):
        options = [self.beat]
        if self.has_beaten and not self.is_leaving:
            if not self.is_claiming:
                options += [self.claim] * (2 if len(self.claims) < CLAIMS_MAX else 0)
                options.append(self.give_back_inbox)
            if not self.pops:
                options.append(self.pop)
            options += [lambda n=name: self.reap(n) for name in self.expired]
            for claim in self.claims.values():
                options += self.steps_of(claim) * 2
            options += [self.repeat] * (4 if self.repeats else 0)
        options[dice % len(options)]()

    def steps_of(self, claim):
        if claim.state == "new":
            if claim.job.is_bad or claim.deaths >= DEATHS_MAX:
                return [lambda: self.end(claim, "failed")]
            return [lambda: self.begin(claim)]
        if claim.state == "cancelled":
            return [lambda: self.end(claim, "cancelled")]
        if claim.state == "running":
            return [lambda: self.end(claim, "succeeded"), lambda: self.end(claim, "failed", True),
                    lambda: self.delay(claim, "retried"), lambda: self.delay(claim, "waited"),
                    lambda: self.delay(claim, "scheduled")]
        return []

    # ---- what it sends ----

    def send(self, script, args, hear, fail=lambda: None, claim=None, **named):
        keys = self.box.scripts[script].keys(self.name, **named)
        self.pipe.append(Command([script, len(keys), *keys, *args], hear, fail, claim))

    def step(self, claim, state, script, args, hear, **named):
        """Of a claim: repeated until Redis has taken it."""
        claim.state = state
        self.send(script, args, hear, claim=claim, **named)
        command = self.pipe[-1]
        command.fail = lambda: self.repeats.append(command)

    def repeat(self):
        self.pipe.append(self.repeats.popleft())

    def beat(self):
        has_lease = self.has_beaten
        self.send("beat", [self.name, LEASE_MS, 0, TTL_MS, int(has_lease)],
                  lambda reply: self.on_beat(reply, has_lease))

    def claim(self, most=2):
        self.is_claiming = True
        max_bytes = 40 if self.next_token % 3 == 0 else 1_000_000
        self.send("claim", [self.name, most, self.next_token, max_bytes, self.mode, TENANTS],
                  self.on_claims, self.on_claim_failed)
        self.next_token += most

    def give_back_inbox(self):
        self.claim(0)

    def pop(self):
        self.pops.append(["LMOVE", "q", PREFIX + "inbox", "LEFT", "RIGHT"])

    def begin(self, claim):
        running = running_prefix(claim.id) + "}" if claim.token % 2 else ""
        self.step(claim, "beginning", "begin",
                  [self.name, claim.token, claim.id, claim.history(), running_prefix(claim.id),
                   running, TTL_MS], lambda reply: self.on_begun(claim, reply[0]), id=claim.id)

    def end(self, claim, state, has_run=False):
        by = f"{self.name} {claim.token}"
        document = json.dumps({"id": claim.id, "state": state, "n": claim.job.n, "by": by},
                              separators=(",", ":")) if claim.id else ""
        args = [self.name, claim.token, claim.id, state, running_prefix(claim.id), document, TTL_MS,
                PREFIX + "done"]
        if state == "failed":
            letter = json.dumps({"id": claim.id, "by": by, "payload": claim.job.payload})
            args += [letter, DEAD_MAX, int(has_run)]
        self.step(claim, "ending", "dead" if state == "failed" else "settle", args,
                  lambda reply: self.forget(claim), id=claim.id, reply_to=claim.job.reply_to)

    def delay(self, claim, counter):
        due = self.box.now + 9000 if counter == "scheduled" else "+3000"
        self.step(claim, "ending", "retry",
                  [self.name, claim.token, claim.id, claim.history(counter), due, counter],
                  lambda reply: self.forget(claim))

    def reap(self, name, how="reap", hear=None):
        if name in self.expired:
            self.expired.remove(name)
        keys = self.box.scripts["reap"].keys(name)
        self.pipe.append(Command(["reap", len(keys), *keys, name, how, TTL_MS],
                                 hear or (lambda reply: None), lambda: None))

    def reconcile(self):
        self.pipe.append(Command(["HKEYS", f"{PREFIX}inflight:{self.name}"], self.on_record,
                                 lambda: None))

    def leave(self):
        self.claims.clear()
        self.repeats.clear()
        self.is_leaving = True
        self.reap(self.name, "unsort", self.on_left)

    # ---- what it hears ----

    def hear(self):
        """The oldest reply."""
        command, reply = self.replies.popleft()
        if command.claim and self.claims.get(command.claim.token) is not command.claim:
            return
        if isinstance(reply, RedisError):
            command.fail()
        else:
            command.hear(reply)

    def forget(self, claim):
        self.claims.pop(claim.token, None)

    def on_beat(self, reply, has_lease):
        was_registered, on_record, expired = reply[0], reply[3], reply[6]
        if not was_registered and has_lease:
            self.claims.clear()
            self.repeats.clear()
        self.has_beaten = bool(was_registered or not has_lease)
        has_more = on_record > len(self.claims)
        if has_more and self.has_more:
            self.reconcile()
        self.has_more = has_more
        self.expired = [name for name in expired if name != self.name]

    def on_claims(self, reply):
        self.is_claiming = False
        if reply[0] == "unregistered":
            self.beat()
        for at in range(2, len(reply), 4):
            token, history, deaths, payload = reply[at:at + 4]
            claim = Claim(self.name, int(token), history, int(deaths), payload)
            self.claims[claim.token] = claim

    def on_claim_failed(self):
        self.is_claiming = False

    def on_begun(self, claim, status):
        claim.state = {"run": "running", "cancelled": "cancelled"}.get(status, "over")
        if claim.state == "over":
            self.forget(claim)

    def on_record(self, tokens):
        unknown = sorted((int(t) for t in tokens if int(t) not in self.claims), reverse=True)
        if unknown:
            self.send("release", [self.name, *unknown], lambda reply: None)

    def on_left(self, reply):
        if reply[1]:
            self.reap(self.name, "unsort" if len(self.pipe) % 3 else "leave", self.on_left)
        else:
            self.has_left = True

    # ---- its connection ----

    def lose_connection(self):
        """Returns what was on its way: Redis may yet run it, in its order."""
        under_way, self.pipe = list(self.pipe), deque()
        unheard, self.replies = [command for command, _ in self.replies], deque()
        for command in unheard + under_way:
            if not command.claim or self.claims.get(command.claim.token) is command.claim:
                command.fail()
        self.beat()
        self.reconcile()
        return under_way
