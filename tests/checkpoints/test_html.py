"""What notebooks show, and the HTML that it is made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from html_page import Page

from callback_state._checkpoints.listing import Checkpoint
from callback_state._html import Markup, element
from callback_state._resuming.match import Change
from callback_state._resuming.restored import Report, Restored
from callback_state._units import time_of

HOSTILE = "<script>alert(1)</script>\"'&\ud800"
TIME = 1_500_000_000_000_000_000


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (element("p", "a < b", element("b", 1)), "<p>a &lt; b<b>1</b></p>"),
        (element("a", class_="x", data_of='"', x=0), '<a class="x" data-of="&quot;" x="0"></a>'),
        (element("td", None, hidden=True, title=None, lang=False), "<td hidden>None</td>"),
        (element("p", Markup("<br>")), "<p><br></p>"),
        (element("p", "\ud800\u202eé\x00"), "<p>\\ud800\\u202eé\\x00</p>"),
    ],
    ids=["children", "attributes", "none and false", "markup", "what is not seen"],
)
def test_an_element_escapes_all_that_is_no_markup(made: str, expected: str) -> None:
    """Text and attributes are escaped, markup stays, and attributes without a value are left out."""
    assert made == expected


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [(TIME + 999_999_999, "2017-07-14 02:40:00 UTC"), (10**40, f"{10**40} ns"), (-(10**40), f"-{10**40} ns")],
    ids=["a time", "too late", "too early"],
)
def test_a_time_that_no_calendar_has_is_a_number(nanoseconds: int, said: str) -> None:
    """A state file may hold any number of nanoseconds; whichever it is, it is shown."""
    assert time_of(nanoseconds) == said


def test_a_checkpoint_is_shown_with_all_that_it_has() -> None:
    """Each of its attributes is in the table, the batch only where there is one."""
    shown = Checkpoint("ckpt/003.keras", 2, None, False, ("val_loss", 0.25), TIME)._repr_html_()
    assert " | ".join(Page(shown).text) == (
        "Checkpoint ckpt/003.keras | epoch | 2 | finished | False | monitor | val_loss: 0.25 | "
        "saved_at | 2017-07-14 02:40:00 UTC"
    )
    inside = Checkpoint("m.keras", 0, 0, True, ("val_loss", None), 0)._repr_html_()
    assert " | ".join(Page(inside).text[1:]) == (
        "epoch | 0 | batch | 0 | finished | True | monitor | val_loss: none | saved_at | 1970-01-01 00:00:00 UTC"
    )


def test_what_was_restored_is_shown_and_what_was_not() -> None:
    """The moment, the callbacks, and of the report what is not empty, an item a line."""
    report = Report(
        ("EarlyStopping", "Warmup"),
        missing=("Lost",),
        changed=(Change("Warmup", "peak", 1, 2),),
        doubts=("a", "b"),
    )
    restored = Restored([], epoch=2, initial_epoch=3, model_path="ckpt/003.keras", report=report)
    assert " | ".join(Page(restored._repr_html_()).text) == (
        "Restored ckpt/003.keras | initial_epoch | 3 | epoch | 2 | finished | False | callbacks | "
        "EarlyStopping | Warmup | missing | Lost | changed | Warmup.peak was 1, is 2 | doubts | a | b"
    )


def test_a_first_start_says_so() -> None:
    """Where nothing was restored the table says it, and where training begins."""
    shown = Page(Restored([], _looked_in="ckpt")._repr_html_()).text
    assert shown == ["Restored: nothing in 'ckpt' yet", "initial_epoch", "0"]
    assert repr(Restored([])) == "<Restored: nothing yet>"


@pytest.mark.parametrize(
    "shown",
    [
        Checkpoint(HOSTILE, 0, 1, False, (HOSTILE, 0.5), 0),
        Restored([], epoch=0, model_path=HOSTILE, report=Report((HOSTILE,), (HOSTILE,), doubts=(HOSTILE,))),
        Restored(
            [],
            epoch=0,
            model_path="m",
            report=Report(
                changed=(Change(HOSTILE, HOSTILE, HOSTILE, SimpleNamespace(a=HOSTILE)),), differences=(HOSTILE,)
            ),
        ),
    ],
    ids=["checkpoint", "restored", "report"],
)
def test_no_name_of_a_file_becomes_markup(shown: Any) -> None:
    """A path, a series, a key or a sentence that looks like HTML is shown as it is."""
    page = Page(shown._repr_html_())
    assert {*page.names} == {"table", "b", "tbody", "tr", "th", "td", "div"}
    assert any("<script>alert(1)</script>" in text for text in page.text)
