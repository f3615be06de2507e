"""Workers, producers and operators who act in any order, and what can go wrong between them and Redis.

An action is (what, which, dice): three numbers that mean something in every state, so that a list of
them can be shortened and is still a run.
"""

import json
import random
from collections import deque

from box import PREFIX, RedisError
from promises import Broken, Judge
from workers import LEASE_MS, MODES, Worker, running_prefix

WORKERS = 3
IDS = "abcde"


class Disorder:
    def __init__(self, box, mutation=None):
        self.box, self.judge = box, Judge()
        box.begin(mutation)
        self.workers, self.born = [], 0
        self.strays = deque()  # what was on its way on connections that are gone, in their order
        self.pushed, self.trace = [], []
        self.no_memory, self.acts = False, 0
        Worker.mode = MODES[0]
        for _ in range(WORKERS):
            self.join(0, 0)

    # ---- Redis ----

    def run(self, words, who):
        refused_on_purpose, self.no_memory = self.no_memory, False
        reply, keys = self.box.call(words, refused_on_purpose)
        is_refused = isinstance(reply, RedisError)
        told = words[2 + int(words[1]):] if words[0] in self.box.scripts else words[1:]
        self.trace.append(f"{who}: {words[0]} {' '.join(map(str, told))[:110]} -> {reply!r:.200}")
        if is_refused and not refused_on_purpose:
            raise Broken("no script fails", f"{words[0]}: {reply}")
        if words[0] == "retry" and told[5] == "retried" and not is_refused:
            self.judge.failures[told[2]] += reply[0] == "ok"
        if words[0] == "dead_retry" and reply == 1:
            self.judge.accept(told[1])
        if words[0] == "RPUSH":
            self.judge.accept(told[1])
        self.judge.look(words, reply, keys, is_refused)
        return reply

    def script(self, name, args, who, **named):
        keys = self.box.scripts[name].keys(**named)
        return self.run([name, len(keys), *keys, *args], who)

    # ---- producers and operators ----

    def push(self, which, dice):
        n, id = len(self.pushed), IDS[which % len(IDS)]
        tenant = [{"tenant": "t0"}, {"tenant": "t1"}, {"tenant": "t2"}, {}, {}][which // len(IDS) % 5]
        payload = [json.dumps({"id": id, "n": n, **tenant}),
                   json.dumps({"id": id, "n": n, "reply_to": 1, **tenant}), json.dumps({"n": n}), json.dumps({"id": id, "bad": n}), f"bad {n}",
                   self.pushed[dice % n] if n else f"bad {n}"][dice % 6]
        self.no_memory = False
        self.pushed.append(payload)
        self.run(["RPUSH", "q", payload], "producer")

    def cancel(self, which, dice):
        id = IDS[which % len(IDS)]
        self.script("cancel", [id, running_prefix(id), "control"], "operator", id=id)

    def pause(self, which, dice):
        self.no_memory = False
        self.run(["SET", PREFIX + "paused", 1] if dice % 3 == 0 else ["DEL", PREFIX + "paused"],
                 "operator")

    def dead_retry(self, which, dice):
        """Of a letter that may be gone by now."""
        if letters := self.judge.letters:
            letter = letters[-1 - which % len(letters[-10:])]
            fields = json.loads(letter)
            self.script("dead_retry", [letter, fields["payload"], int(bool(fields["id"]))], "operator",
                        id=fields["id"])

    # ---- workers ----

    def worker(self, which, may=lambda worker: True):
        """One that is awake, and that may do it; or None."""
        awake = [w for w in self.workers if self.acts >= w.asleep_until and may(w)]
        return awake[which % len(awake)] if awake else None

    def think(self, which, dice):
        if worker := self.worker(which):
            worker.think(dice)

    def deliver(self, which, dice):
        """The first command of a worker reaches Redis; mostly it hears at once."""
        if worker := self.worker(which, lambda w: w.pipe):
            command = worker.pipe.popleft()
            worker.replies.append((command, self.run(command.words, worker.name)))
            if dice % 4:
                self.hear_all(worker)

    def hear(self, which, dice):
        if worker := self.worker(which, lambda w: w.replies):
            self.hear_all(worker)

    def hear_all(self, worker):
        while worker.replies:
            worker.hear()
        if worker.has_left:
            self.strays.append(list(worker.pops))
            self.workers.remove(worker)
            self.join(0, 0)

    def pop(self, which, dice):
        """A blocking pop is served. Its connection is one of its own."""
        worker = self.worker(which, lambda w: w.pops)
        if worker and self.judge.keys.raw.get("q"):
            self.run(worker.pops[0], worker.name)
            worker.pops.popleft()

    def join(self, which, dice):
        self.born += 1
        self.workers.append(Worker(f"w{self.born}", self.box))

    def leave(self, which, dice):
        worker = self.worker(which)
        if worker and worker.has_beaten and not worker.is_leaving:
            worker.leave()

    # ---- what goes wrong ----

    def crash(self, which, dice):
        worker = self.workers.pop(which % len(self.workers))
        self.trace.append(f"{worker.name} dies")
        self.stray([command.words for command in worker.pipe], dice)
        self.strays.append(list(worker.pops))
        self.join(0, 0)

    def cut(self, which, dice):
        """A connection is lost: replies are, too; what was on its way may yet arrive, or not."""
        worker = self.worker(which)
        if worker and worker.is_leaving:
            self.crash(which, dice)
        elif worker:
            self.trace.append(f"{worker.name} loses its connection")
            self.stray([command.words for command in worker.lose_connection()], dice)
            if dice % 2:
                self.strays.append(list(worker.pops))
                worker.pops.clear()

    def stray(self, commands, dice):
        self.strays.append(commands[:dice % (len(commands) + 1)] if dice % 2 else commands)

    def late(self, which, dice):
        """Something arrives that nobody waits for any more."""
        while self.strays and not self.strays[0]:
            self.strays.popleft()
        if self.strays:
            commands = self.strays[which % len(self.strays)]
            if commands:
                self.run(commands.pop(0), "late")

    def sleep(self, which, dice):
        worker = self.workers[which % len(self.workers)]
        worker.asleep_until = self.acts + 20 + dice % 80
        self.trace.append(f"{worker.name} sleeps")

    def tick(self, which, dice):
        self.box.set_clock(self.box.now + dice % 5000)

    def leap(self, which, dice):
        self.box.set_clock(self.box.now + (dice % (6 * LEASE_MS)) - LEASE_MS)
        self.trace.append(f"the clock leaps to {self.box.now}")

    def refuse(self, which, dice):
        self.no_memory = True

    def flush(self, which, dice):
        self.box.ask(["SCRIPT", "FLUSH"])

    def reload(self, which, dice):
        """All workers read what tenants may have anew."""
        Worker.mode = MODES[dice % len(MODES)]
        self.trace.append(f"claims are {Worker.mode}")

    # ---- a run ----

    def act(self, action):
        what, which, dice = action
        self.acts += 1
        getattr(self, what)(which, dice)

    def end(self, dice):
        """All die; what is still on its way arrives; a fresh worker brings everything to its end."""
        self.no_memory = False
        for _ in range(len(self.workers)):
            self.crash(0, 0)
        self.run(["DEL", PREFIX + "paused"], "operator")
        for _ in range(1000):
            self.late(dice, 0)
        self.strays.clear()
        last = self.workers[-1]
        for _ in range(60):
            self.box.set_clock(self.box.now + 10 * LEASE_MS)
            self._turn(last)
            if len(self.judge.keys.workers) == 1 and not self.judge.keys.places:
                break
        last.leave()
        self._settle(last)
        self.judge.at_the_end()

    def _settle(self, worker):
        while worker.pipe or worker.replies:
            if worker.pipe:
                command = worker.pipe.popleft()
                worker.replies.append((command, self.run(command.words, worker.name)))
            worker.hear()

    def _turn(self, worker):
        worker.beat()
        self._settle(worker)
        for name in list(worker.expired):
            worker.reap(name)
        self._settle(worker)
        worker.claim(64)
        self._settle(worker)
        for _ in range(3):
            for claim in list(worker.claims.values()):
                if steps := worker.steps_of(claim):
                    steps[0]()
            self._settle(worker)


WEIGHTS = {"push": 8, "cancel": 2, "pause": 1, "dead_retry": 2, "think": 50, "deliver": 60, "hear": 8,
           "pop": 4, "leave": 1, "crash": 1, "cut": 3, "late": 8, "sleep": 1, "tick": 8, "leap": 1,
           "refuse": 2, "flush": 1, "reload": 1}


def actions_of(seed, length):
    chance = random.Random(seed)
    whats = chance.choices(list(WEIGHTS), WEIGHTS.values(), k=length)
    return [(what, chance.randrange(1 << 16), chance.randrange(1 << 16)) for what in whats]
