"""Blocks of code of the README and of the pages in docs/."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGES = ['README.md', *sorted(f'docs/{path.name}' for path in (REPO / 'docs').glob('*.md'))]


@dataclass
class Block:
    """A fenced block: its page, the line that it begins at, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Commands of a shell block, each on one line, without comments; quoted as they are."""
        joined = re.sub(r'\\\n\s*', '', self.text)
        lines = (shlex.split(line, comments=True, posix=False) for line in joined.splitlines())
        return [' '.join(line) for line in lines if line]


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def blocks(page: str) -> list[Block]:
    """All blocks of a page, but for the directives of the page builder."""
    text = (REPO / page).read_text()
    found = re.finditer(r'^```([^\n]*)\n(.*?)^```$', text, flags=re.S | re.M)
    return [
        Block(page, text[: match.start()].count('\n') + 1, match[1], match[2])
        for match in found
        if not match[1].startswith('{')
    ]
