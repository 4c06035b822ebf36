"""The file name that a user gives, with its placeholders: parts, directory, and the name of one save.

The placeholders are those of ``str.format``, as in ``keras.callbacks.ModelCheckpoint``. So a name in braces may
have any letters that the name of a metric has, a slash or a blank too, and doubled braces stand for themselves.
"""

from __future__ import annotations

import difflib
import os
import re
import string
from typing import Any, NamedTuple


class Part(NamedTuple):
    """A piece of text, and the placeholder that follows it."""

    text: str  # as it is in the name of a file
    field: str | None  # the name in the braces; None at the end, where no placeholder follows
    source: str  # the placeholder with its braces


def parts_of(template: str) -> list[Part]:
    """The parts of a template. What ``str.format`` cannot read (in a forged file) has no placeholder."""
    try:
        return _parsed(template)
    except ValueError:
        return [Part(template, None, "")]


def _parsed(template: str) -> list[Part]:
    found, before = [], ""
    for text, field, spec, conversion in string.Formatter().parse(template):
        before += text
        if field is not None:
            how = (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            found.append(Part(before, field, f"{{{field}{how}}}"))
            before = ""
    return [*found, Part(before, None, "")]


def fixed(template: str) -> str | None:
    """The one name that a template gives; None if it has placeholders."""
    first, *rest = parts_of(template)
    return None if rest else first.text


def split(path: str) -> tuple[str, str]:
    """The directory (empty for the current one) and the template of a path that a script gives.

    Raises ValueError, which says what was expected and found, where ``str.format`` could not make names of it, or
    where the directory has a placeholder.
    """
    try:
        first, *rest = _parsed(path)
    except ValueError as error:
        raise ValueError(
            f"expected placeholders such as {{epoch}}, found what Python cannot format ({error}). Write {{{{ "
            f"and }}}} for braces that belong to the name"
        ) from None
    for part in (first, *rest):
        name = "epoch" if part.field is None else re.split(r"[.\[]", part.field)[0]
        if not name or name.isdecimal():
            raise ValueError(f"expected a name in each placeholder, such as {{epoch}}, found {part.source}")
    if any(os.path.dirname(part.text) for part in rest):
        raise ValueError(
            "expected placeholders in the name of the file only, found one in its directory, which a restart "
            "could not find. Write them into the name: 'ckpt/{epoch:03d}.keras'"
        )
    directory, text = os.path.split(first.text)
    return directory, "".join(_escaped(part.text) + part.source for part in (first._replace(text=text), *rest))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def filled(template: str, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
    """The name of a model file: that of a save after this 0-based epoch, and this 0-based batch of it.

    Raises KeyError if a placeholder has no value, and ValueError if a value makes a path of the name.
    """
    values = {**({} if batch is None else {"batch": batch + 1}), **logs, "epoch": epoch + 1}
    try:
        name = template.format(**values)
    except KeyError as error:
        near = difflib.get_close_matches(str(error.args[0]), [*values], n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise KeyError(
            f"filepath={template!r}: expected a value for each placeholder, found none for {error}. There are "
            f"{', '.join(sorted(map(repr, values)))}{meant}"
        ) from None
    if os.path.basename(name) != name or not name:
        raise ValueError(
            f"filepath={template!r}: expected the name of a file, found the path {name!r}. Leave out the "
            f"placeholder whose value has a path in it"
        )
    return name
