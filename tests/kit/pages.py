"""Parts of the README and of the documentation that tests write: a page cannot say what is no longer true."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

from places import ROOT

README = ROOT / "README.rst"


def part(name: str, text: str, page: Path = README) -> None:
    """Compare the text between the comments ``begin NAME`` and ``end NAME`` of a page with what it should be.

    With ``WRITE_README=1`` in the environment, write it.
    """
    found = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(\.\. begin {name}\n\n)(.*?)(\n\.\. end {name}\n)", re.DOTALL)
    match = pattern.search(found)
    assert match is not None, f"{page.name} has no part {name}"
    if os.environ.get("WRITE_README"):
        page.write_text(pattern.sub(lambda m: m[1] + text + m[3], found), encoding="utf-8")
    else:
        assert match[2] == text


def block(language: str, text: str) -> str:
    """A block of code in reStructuredText."""
    return f".. code-block:: {language}\n\n{textwrap.indent(text, '    ')}"


def listing(after: str, text: str, page: Path = README) -> None:
    """The same for the block of code that follows the line ``after``, where no line is to be spent on marks."""
    found = page.read_text(encoding="utf-8")
    match = re.search(rf"{re.escape(after)}\n\n(\.\. code-block::.*\n(?:\n|    .*\n)+?)(?=\n\S)", found)
    assert match is not None, f"{page.name} has no block of code after {after!r}"
    if os.environ.get("WRITE_README"):
        page.write_text(found[: match.start(1)] + text + found[match.end(1) :], encoding="utf-8")
    else:
        assert match[1] == text
