"""Writes what the examples of a page print anew.

python -m tests.docs.rewrite README.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.docs.console import HOME_IN_DOCS, Shell, alike, examples
from tests.docs.sandbox import sandbox, stand_in_api


def rewritten(markdown: str, shell: Shell) -> str:
    """*markdown*, with what each example of its console blocks prints now."""
    for example in examples(markdown):
        home = shell.env["HOME"]
        printed = shell.run(example.command).replace(home, HOME_IN_DOCS)
        # Nothing but numbers that differ between any two runs: the page stays.
        if alike(printed, home) == alike(example.output, home):
            continue
        command = f"$ {example.command}\n"
        markdown = markdown.replace(command + example.output, command + printed, 1)
    return markdown


def main() -> None:
    """Rewrite the pages that the command line names."""
    for name in sys.argv[1:]:
        page = Path(name)
        with tempfile.TemporaryDirectory() as folder, stand_in_api() as url:
            page.write_text(rewritten(page.read_text(), sandbox(Path(folder), url)))


if __name__ == "__main__":
    main()
