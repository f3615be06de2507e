"""What must be true of the keys after every single command, whatever happened before."""

import hashlib
import json
from collections import Counter

from box import PREFIX
from workers import CAPS, Job

# Where a job can be: a key (with a colon at its end: several), and how payloads are read from its value.
PLACES = {
    "q": list,
    PREFIX + "inbox": list,
    PREFIX + "inflight:": lambda pairs: pairs[1::2],
    PREFIX + "sorted:jobs": lambda pairs: [job for name, job in zip(pairs[::2], pairs[1::2])
                                           if name not in ("last", "time")],
    PREFIX + "delayed:jobs": lambda pairs: [entry.split("\n", 1)[1] for entry in pairs[1::2]],
}
# What may stay when all jobs are final and all workers gone.
LASTING = ("result:", "reply:", "dead", "stats", "crashes", "cancelled")
RESULT, REPLY = PREFIX + "result:", PREFIX + "reply:"


class Broken(Exception):
    def __init__(self, promise, detail):
        super().__init__(f"{promise}: {detail}")
        self.promise = promise


def check(promise, is_kept, detail):
    if not is_kept:
        raise Broken(promise, detail)


def number_of(tenant):
    return float(int(hashlib.sha1(tenant.encode()).hexdigest()[:12], 16))


def pairs(value):
    return dict(zip(value[::2], value[1::2])) if value else {}


class Keys:
    """All keys at one moment, read as what they are."""

    def __init__(self, keys):
        self.raw = {key: value for key, value in keys.items() if key != "clock"}
        self.places = Counter()
        for name, read in PLACES.items():
            for key in [k for k in keys if k.startswith(name)] if name[-1] == ":" else [name]:
                self.places.update(read(keys.get(key, [])))
        self.results = {key[len(RESULT):]: text for key, text in keys.items()
                        if key.startswith(RESULT)}
        self.finals = {id: text for id, text in self.results.items()
                       if '"state":"running"' not in text}
        self.owners = pairs(keys.get(PREFIX + "owners"))
        self.workers = pairs(keys.get(PREFIX + "workers"))
        self.delayed = pairs(keys.get(PREFIX + "delayed"))
        self.delayed_jobs = pairs(keys.get(PREFIX + "delayed:jobs"))
        self.cancelled = pairs(keys.get(PREFIX + "cancelled"))
        self.stats = pairs(keys.get(PREFIX + "stats"))
        self.crashes = pairs(keys.get(PREFIX + "crashes"))
        self.letters = keys.get(PREFIX + "dead", [])
        self.sorted = pairs(keys.get(PREFIX + "sorted"))
        self.sorted_jobs = pairs(keys.get(PREFIX + "sorted:jobs"))
        self.turns = pairs(keys.get(PREFIX + "turns"))
        self.busy = pairs(keys.get(PREFIX + "busy"))
        self.inflight = self._of_workers("inflight:")
        self.begun = self._of_workers("begun:")

    def _of_workers(self, what):
        """{(worker, token): value}"""
        start = PREFIX + what
        return {(key[len(start):], token): value for key, all in self.raw.items()
                if key.startswith(start) for token, value in pairs(all).items()}


class Judge:
    """Remembers what was accepted, and what was true before."""

    def __init__(self):
        self.accepted = Counter()  # payloads
        self.ended = Counter()
        self.failures = Counter()  # executions of an id that failed, by the workers' word
        self.begun = 0  # claims, ever
        self.seasoned = set()  # payloads that had failed or waited
        self.letters = []  # that were ever written
        self.states = Counter()  # finals that were ever seen
        self.running = {}  # id: (worker, token) that was told to run it
        self.keys = Keys({})

    def accept(self, payload):
        self.accepted[payload] += 1

    def look(self, words, reply, keys, is_refused):
        before, self.keys = self.keys, Keys(keys)
        check("what is refused changes nothing", not is_refused or before.raw == self.keys.raw, words)
        self._nothing_lost_or_doubled()
        self._finals_stay(before, words[0])
        self._one_final_told_once()
        self._records_agree()
        self._tenants_agree()
        if words[0] == "claim" and not is_refused and "caps" in words:
            self._counted(words, reply)
        self._letters_explained()
        if words[0] == "begin" and not is_refused:
            self._begun(words, reply[0])
        if words[0] in ("settle", "dead") and not is_refused:
            self._told(words, reply)
        self._attempts_only_for_failures()
        self._histories_stay()

    def _nothing_lost_or_doubled(self):
        now, alive = self.keys, set()
        for payload in now.places:
            alive.add(Job(payload).id)
            check("only what was pushed is there", payload in self.accepted, payload)
        told = {json.loads(text).get("n") for text in now.finals.values()}
        lettered = {json.loads(letter)["payload"] for letter in now.letters}
        for payload, pushed in self.accepted.items():
            ended = pushed - now.places[payload]
            check("a job is in one place", ended >= 0, payload)
            check("a job that has ended stays so", ended >= self.ended[payload], payload)
            self.ended[payload] = ended
            job = Job(payload)
            if now.places[payload]:
                continue
            check("a bad job is a dead letter", not job.is_bad or payload in lettered, payload)
            check("no job is lost", job.id in now.finals or job.id in alive or
                  (not job.id and (job.is_bad or job.n in told or payload in lettered)), payload)

    def _finals_stay(self, before, command):
        for id, text in before.finals.items():
            is_same = self.keys.finals.get(id) == text
            may_go = command == "dead_retry" and '"state":"succeeded"' not in text
            check("a final result stays", is_same or (may_go and id not in self.keys.results), id)
        for id, text in self.keys.finals.items():
            if before.finals.get(id) != text:
                self.states[json.loads(text)["state"]] += 1

    def _one_final_told_once(self):
        raw, finals = self.keys.raw, self.keys.finals
        for key, replies in raw.items():
            if key.startswith(REPLY):
                check("the reply is the result, once", replies == [finals.get(key[len(REPLY):])], key)
        replies = raw.get("replies", [])
        check("reply_to is told once", len(set(replies)) == len(replies), replies)
        for state in ("succeeded", "cancelled"):
            check("each end is counted once",
                  int(self.keys.stats.get(state, 0)) == self.states[state], self.keys.stats)
        for id in finals:
            check("a final job is told to nobody's reply", REPLY + id in raw, id)
            check("what is final does not run", id not in self.keys.owners, id)
            check("what is final is not to be cancelled", id not in self.keys.cancelled, id)

    def _records_agree(self):
        now = self.keys
        for id, owner in now.owners.items():
            claim = tuple(owner.split(" "))
            check("an owner holds a claim", claim in now.inflight, owner)
            check("an owner's claim is begun", claim in now.begun, owner)
        check("what is begun is claimed", set(now.begun) <= set(now.inflight), now.begun)
        check("a delayed job has its date", set(now.delayed) == set(now.delayed_jobs), now.delayed)
        for worker, _ in now.inflight:
            check("somebody will look at a record", worker in now.workers, worker)

    def _tenants_agree(self):
        now = self.keys
        check("a sorted job has its place", set(now.sorted) == set(now.sorted_jobs) - {"last", "time"}, now.sorted)
        having = {number_of(tenant) for tenant in now.turns}
        check("a sorted job's tenant has its turn", {float(n) for n in now.sorted.values()} <= having,
              now.turns)
        for name, number in now.sorted.items():
            check("a sorted job is its tenant's",
                  float(number) == number_of(Job(now.sorted_jobs[name]).tenant), name)
        for claim in now.busy:
            check("what counts as a claim is one", tuple(claim.split(" ")) in now.inflight, claim)
        counts = Counter(float(number) for number in now.busy.values())
        for tenant in ("", "t0", "t1", "t2"):
            check("nobody has more claims than allowed",
                  counts[number_of(tenant)] <= CAPS.get(tenant, CAPS["*"]), tenant)

    def _counted(self, words, reply):
        worker = words[2 + int(words[1])]
        for token in reply[2::4]:
            check("a claim of who has a limit counts", f"{worker} {token}" in self.keys.busy, token)

    def _letters_explained(self):
        letters = Counter(self.keys.letters)
        check("a letter is written once", not letters or max(letters.values()) == 1, letters)
        self.letters += [letter for letter in letters if letter not in self.letters]
        of = Counter()
        for letter in letters:
            of[json.loads(letter)["payload"]] += 1
        for payload, count in of.items():
            check("a letter has its job", count <= self.ended[payload], payload)
        failed = {id for id, text in self.keys.finals.items() if '"state":"failed"' in text}
        lettered = {json.loads(letter)["id"] for letter in letters}
        check("a failed job has a letter", failed <= lettered, failed - lettered)

    def _begun(self, words, status):
        """begin: its own arguments stand behind the keys."""
        worker, token, id = (str(word) for word in words[2 + int(words[1]):][:3])
        if status not in ("run", "cancelled"):
            return
        claim = (worker, token)
        other = self.running.get(id)
        check("an id runs once", other in (None, claim) or other not in self.keys.inflight, id)
        check("what is final is not begun", id not in self.keys.finals, id)
        check("what is delayed is not begun", id not in self.keys.delayed_jobs, id)
        self.begun += other != claim
        self.running[id] = claim

    def _told(self, words, reply):
        """settle, dead: also of a repeat, whose first answer was lost."""
        id, document = words[2 + int(words[1]) + 2], words[2 + int(words[1]) + 5]
        if id:
            check("an end is told what became of it",
                  (reply == "ok") == (self.keys.finals.get(id) == document), words)

    def _attempts_only_for_failures(self):
        for history in [*self.keys.begun.values(),
                        *(entry.split("\n")[0] for entry in self.keys.delayed_jobs.values())]:
            attempts, _, _, id = history.split(" ", 3)
            check("only failures are attempts", int(attempts) <= self.failures[id], history)
        deaths = sum(int(n) for n in self.keys.crashes.values())
        check("only what was begun is blamed", deaths <= self.begun, deaths)

    def _histories_stay(self):
        for entry in self.keys.delayed_jobs.values():
            history, payload = entry.split("\n", 1)
            if not history.startswith("0 0 "):
                self.seasoned.add(payload)
        for payload in [*self.keys.raw.get("q", []), *self.keys.raw.get(PREFIX + "inbox", []),
                        *self.keys.sorted_jobs.values()]:
            check("a job keeps its history",
                  payload not in self.seasoned or self.accepted[payload] > 1, payload)

    def at_the_end(self):
        """All jobs were run to their end, and all workers are gone."""
        now = self.keys
        check("all jobs end", not now.places, +now.places)
        allowed = tuple(PREFIX + name for name in LASTING) + ("replies",)
        orphans = [key for key in now.raw if not key.startswith(allowed)]
        check("no key is left over", not orphans, orphans)
        delayed = set(now.cancelled) & set(now.finals)
        check("no cancel outlives its job", not delayed, delayed)
