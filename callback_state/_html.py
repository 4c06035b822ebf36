"""HTML elements whose text is always escaped.

element("p", "a < b", element("b", "!"))    <p>a &lt; b<b>!</b></p>
"""

from __future__ import annotations

import html
from collections.abc import Iterable

_NAME = "text-align: left; vertical-align: top; padding: 0.1em 0.8em 0.1em 0; white-space: nowrap"
_VALUE = "text-align: left; vertical-align: top; padding: 0.1em 0; overflow-wrap: anywhere"


class Markup(str):
    """A text that is HTML and needs no escaping."""

    __slots__ = ()


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Make an element with its contents; all but :class:`Markup` is escaped.

    Of the attributes, one that is None or False is left out, and one that is True has no value. ``class_`` is
    written ``class``, and an underscore as a hyphen: ``stroke_width=2``.
    """
    opening = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inner = "".join(child if isinstance(child, Markup) else _escaped(child) for child in children)
    return Markup(f"<{name}{opening}>{inner}</{name}>")


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{_escaped(value)}"'


def _escaped(value: object) -> str:
    """Escape a text for HTML; characters that are not visible or turn the text around are written as codes."""
    text = str(value)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return html.escape(text)


def card(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Make a small table of (name, value) for a notebook; it takes the colours of the notebook.

    A tuple is shown with one item a line; None and empty tuples are left out.
    """
    shown = [(name, value if isinstance(value, tuple) else (value,)) for name, value in rows]
    body = []
    for name, items in shown:
        if items and items != (None,):
            lines = [element("div", item) for item in items]
            heading = element("th", name, scope="row", style=_NAME)
            body.append(element("tr", heading, element("td", *lines, style=_VALUE)))
    heading = element("div", element("b", title), style="overflow-wrap: anywhere")
    table = element("table", element("tbody", *body), style="color: inherit; background: none")
    return element("div", heading, table)
