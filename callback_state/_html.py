"""HTML made of text: whatever a state file holds stays text.

element("p", "a < b", element("b", "!"))    <p>a &lt; b<b>!</b></p>
"""

from __future__ import annotations

import html
from collections.abc import Iterable

__all__ = ["Markup", "card", "element"]

_NAME = "text-align: left; vertical-align: top; padding: 0.1em 0.8em 0.1em 0; white-space: nowrap"
_VALUE = "text-align: left; vertical-align: top; padding: 0.1em 0; overflow-wrap: anywhere"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An element with its contents.

    Args:
        children: what is no :class:`Markup` is text, and escaped.
        attributes: always escaped. Those that are None or False are left out, True stands for itself;
            ``class_`` is ``class``, and underscores are hyphens: ``stroke_width=2``.
    """
    opening = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inner = "".join(child if isinstance(child, Markup) else _escaped(child) for child in children)
    return Markup(f"<{name}{opening}>{inner}</{name}>")


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{_escaped(value)}"'


def _escaped(value: object) -> str:
    """As HTML; what would not be seen, or would turn the text around it, is spelled."""
    text = str(value)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return html.escape(text)


def card(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A small table for a notebook, in the colours that it has there.

    Args:
        rows: (name, value); a tuple is shown one item a line, and what is None or empty is left out.
    """
    shown = [(name, value if isinstance(value, tuple) else (value,)) for name, value in rows]
    body = [
        element("tr", element("th", name, scope="row", style=_NAME), element("td", *_lines(items), style=_VALUE))
        for name, items in shown
        if items and items != (None,)
    ]
    heading = element("div", element("b", title), style="overflow-wrap: anywhere")
    table = element("table", element("tbody", *body), style="color: inherit; background: none")
    return element("div", heading, table)


def _lines(items: tuple[object, ...]) -> list[Markup]:
    return [element("div", item) for item in items]
