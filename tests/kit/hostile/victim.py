"""What hostile pickles change in this process, so that it can be seen: names that a pickle can reach."""

from __future__ import annotations

from typing import Any

FLAGS: list[str] = []
TABLE: dict[str, Any] = {}
WORDS: set[str] = set()


class Target:
    """An object with attributes, and a class whose attributes can be set."""

    flag = ""

    def __setstate__(self, state: Any) -> None:
        FLAGS.append(str(state))


class Bare:
    flag = ""


class Grabs:
    """Its ``extend`` is called by an opcode for lists."""

    def extend(self, items: Any) -> None:
        FLAGS.extend(map(str, items))


bare = Bare()


def fire(word: Any = "fired") -> str:
    FLAGS.append(str(word))
    return "innocent"


def fired() -> bool:
    """Whether anything here was changed; makes it as it was."""
    changed = bool(FLAGS or TABLE or WORDS or Bare.flag or vars(bare) or Target.flag)
    for kept in (FLAGS, TABLE, WORDS):
        kept.clear()
    vars(bare).clear()
    Bare.flag = Target.flag = ""
    return changed
