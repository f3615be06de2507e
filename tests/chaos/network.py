"""Lines that fail: a proxy in front of every second worker, and a packet filter in a network of our own."""

import os
import random
import subprocess
import sys
import time

from wire import CHUNK, Proxy
from world import _lacks

ALONE = "HEADGATE_CHAOS_ALONE"


def go_to_a_network_of_our_own():
    """Starts this program again where packets may be dropped without harm to anybody else. Returns
    why that cannot be, or ''."""
    if os.environ.get(ALONE):
        return ""
    reason = _lacks("network namespaces") or _lacks("nft")
    if reason:
        return reason
    os.environ[ALONE] = "1"
    os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
                          sys.executable, *sys.argv])


class Filter:
    """Rules that every packet of this network meets, a chain for each end that may be hit."""

    ENDS = ("redis", "models")

    def __init__(self):
        self._run("add table inet chaos", *(
            f"add chain inet chaos {end} {{ type filter hook input priority 0; }}" for end in self.ENDS))

    @staticmethod
    def _run(*lines):
        subprocess.run(["nft", "-f", "-"], input="\n".join(lines).encode(), check=True,
                       capture_output=True)

    def meet(self, end, port, what):
        """What happens to all from and to this port."""
        self._run(*(f"add rule inet chaos {end} tcp {field} {port} {what}"
                    for field in ("sport", "dport")))

    def pass_all(self, end):
        self._run(f"flush chain inet chaos {end}")


class Wire(Proxy):
    """One worker's line to Redis, or to the models."""

    def lose_a_reply(self, seconds):
        self.lose_reply(b"(?s).")
        self._wait(lambda: self.lost is None, seconds)
        self.lost = None

    def go_silent(self, seconds):
        self.fall_silent()
        time.sleep(seconds)
        self.speak()

    def go_slow(self, seconds):
        self.delay_s = 0.1
        time.sleep(seconds)
        self.delay_s = 0.0

    def slice(self, seconds):
        self.slice_bytes = 7
        time.sleep(seconds)
        self.slice_bytes = CHUNK

    def reset_often(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.reset_all()
            time.sleep(0.2)

    def cut_somewhere(self, seconds):
        """The same place for the same length: a seed's faults are all the same."""
        chance, until = random.Random(seconds), time.monotonic() + seconds
        while time.monotonic() < until:
            self.cut_after(chance.randrange(1, 2000))
            self._wait(lambda: self.budget is None, until - time.monotonic())
        self.budget = None

    @staticmethod
    def _wait(fact, seconds):
        until = time.monotonic() + seconds
        while not fact() and time.monotonic() < until:
            time.sleep(0.01)


WIRE_FAULTS = {
    "loses a reply": Wire.lose_a_reply,
    "falls silent": Wire.go_silent,
    "is slow": Wire.go_slow,
    "brings slices": Wire.slice,
    "is reset": Wire.reset_often,
    "is cut": Wire.cut_somewhere,
}
