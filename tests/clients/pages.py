"""The pages of docs/clients: what they show is what the tests run, to the letter."""

import re
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs/clients"
BLOCK = re.compile(r"^```(\w+) ([\w./-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONNECT_MARK = re.compile(r"(#|//) \(1\)$")


class Page:
    """A page's named blocks: ```python ask.py is the block `ask.py`."""

    def __init__(self, name):
        self.name = name
        self.text = (PAGES / name).read_text()
        self.blocks = {}
        for _, block, text in BLOCK.findall(self.text):
            assert block not in self.blocks, f"{name} has two blocks {block}"
            self.blocks[block] = text

    def files(self):
        """The blocks that a user saves as files."""
        return {name: text for name, text in self.blocks.items() if "." in name}

    def example(self):
        """The example's file name and text: the last file on the page."""
        return list(self.files().items())[-1]

    def connected(self, to):
        """The example as it is, or with line (1) replaced by the block `cluster` or `sentinel`."""
        name, text = self.example()
        if to == "single":
            return name, text
        lines = text.splitlines(keepends=True)
        (at,) = [i for i, line in enumerate(lines) if CONNECT_MARK.search(line)]
        lines[at] = self.blocks[to]
        return name, "".join(lines)
