"""What a checkpoint callback believes to have written, and that no file can make it believe more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import X, Y
from reused import fresh_model
from states import put_into, saved

from callback_state import CorruptCheckpointError, ModelCheckpointEnhanced, RestoreError, stateful
from callback_state._saving.ledger import Ledger, accepted

TEMPLATE = "{epoch:03d}.keras"
INTERIM = "epoch.interim.keras"
BEGUN = Ledger(TEMPLATE)


def entered(ledger: Ledger, *names: str, newest: int | None = 2, there: bool = True) -> Ledger:
    """The ledger after regular saves under these names, of which each is better than the one before."""
    for i, name in enumerate(names):
        value = float(len(ledger.written) + i)
        ledger = ledger.enter(
            name, value, newest=newest, best=None, better=lambda a, b: a > b, is_there=lambda n: there
        )
    return ledger


def test_a_save_is_due_and_the_oldest_file_is_surplus() -> None:
    """Of three files two are kept; the one that is entered is written next."""
    ledger = entered(BEGUN, "001.keras", "002.keras", "003.keras")
    assert [name for name, _ in ledger.written] == ["002.keras", "003.keras"]
    assert (ledger.surplus, ledger.gone, ledger.due) == (("001.keras",), ("001.keras",), "003.keras")


def test_a_file_that_could_not_be_deleted_stays_surplus_while_it_is_there() -> None:
    """So it is tried again at the next save; one that is gone is forgotten."""
    ledger = entered(BEGUN, "001.keras", "002.keras", "003.keras")
    assert entered(ledger, "004.keras").surplus == ("001.keras", "002.keras")
    assert entered(ledger, "004.keras", there=False).surplus == ("002.keras",)


def test_a_file_that_is_written_again_is_neither_surplus_nor_old() -> None:
    """Its place is that of the newest file."""
    ledger = replace(entered(BEGUN, "001.keras", "002.keras"), surplus=("001.keras",))
    assert entered(ledger, "001.keras").surplus == ()
    assert [name for name, _ in entered(ledger, "001.keras").written] == ["002.keras", "001.keras"]


def test_an_interim_file_is_replaced_by_the_next_regular_one() -> None:
    """And by no other interim file."""
    ledger = entered(BEGUN, "001.keras").enter_interim()
    assert (ledger.due, ledger.interim, ledger.is_interim, ledger.gone) == (INTERIM, INTERIM, True, ())
    assert ledger.enter_interim() == ledger
    after = entered(ledger, "002.keras")
    assert (after.interim, after.replaced, after.is_interim, after.gone) == (None, INTERIM, False, (INTERIM,))


NAMES = (("001.keras", 1.0), ("002.keras", None))
WHOLE = Ledger(TEMPLATE, NAMES, ("000.keras",), INTERIM, "002.keras", 5, INTERIM)


@pytest.mark.parametrize("ledger", [BEGUN, WHOLE, replace(WHOLE, due=INTERIM, interim=None)], ids=str)
def test_what_a_run_has_written_is_accepted(ledger: Ledger) -> None:
    """As it is."""
    assert accepted(ledger, TEMPLATE) is ledger


def test_a_run_under_another_name_has_written_nothing_yet() -> None:
    """The files of the other name are not its own; only the time of the last save counts on."""
    assert accepted(WHOLE, "{epoch}.keras") == Ledger("{epoch}.keras", stamp=5)


def without(field: str) -> Ledger:
    ledger = replace(WHOLE)
    del vars(ledger)[field]
    return ledger


def with_more() -> Ledger:
    ledger = replace(WHOLE)
    vars(ledger)["root"] = "/"
    return ledger


class Text(str):
    """A text of a class of its own."""


FORGED: dict[str, tuple[Any, str]] = {
    "no ledger": ({"written": []}, "expected a ledger, found {'written'"),
    "a field too few": (without("written"), "expected the fields due, .* found due"),
    "a field too many": (with_more(), "expected the fields due, .* root"),
    "a template of another kind": (replace(WHOLE, template=1), "template: expected a text, found 1"),
    "a text for the stamp": (replace(WHOLE, stamp="x"), "stamp: expected nanoseconds since 1970, found 'x'"),
    "a truth value for the stamp": (replace(WHOLE, stamp=True), "stamp: .* found True"),
    "a stamp before 1970": (replace(WHOLE, stamp=-1), "stamp: .* found -1"),
    "a stamp that leaves no later one": (replace(WHOLE, stamp=2**63 - 1), "stamp: .* found 9223372036854775807"),
    "a list of names": (replace(WHOLE, written=[*NAMES]), "written: expected pairs of a name and a number"),
    "names without values": (replace(WHOLE, written=("001.keras",)), "written: expected pairs"),
    "an integer for a value": (replace(WHOLE, written=(("001.keras", 1),)), "written: expected pairs"),
    "a path": (replace(WHOLE, written=(("../001.keras", None),)), "written: .* found '../001.keras'"),
    "a path in the surplus": (replace(WHOLE, surplus=("/etc/001.keras",)), "surplus: .* found '/etc/001.keras'"),
    "a path of Windows": (replace(WHOLE, surplus=("..\\001.keras",)), "surplus: expected names"),
    "a drive": (
        replace(WHOLE, surplus=("C:001.keras",)),
        "surplus: expected names that '{epoch:03d}.keras' gives",
    ),
    "another file": (replace(WHOLE, surplus=("precious.keras",)), "surplus: .* found 'precious.keras'"),
    "a number for a name": (replace(WHOLE, surplus=(1,)), "surplus: .* found 1"),
    "a text of another class": (replace(WHOLE, surplus=(Text("001.keras"),)), "surplus: .* found '001.keras'"),
    "a long name": (replace(WHOLE, surplus=("0" * 250 + ".keras",)), "surplus: expected names"),
    "no sequence of names": (replace(WHOLE, surplus="001.keras"), "surplus: expected names, found '001.keras'"),
    "a name twice": (replace(WHOLE, surplus=("001.keras", "001.keras")), "expected each name once"),
    "another interim file": (replace(WHOLE, interim="x.interim.keras"), "interim: expected None or 'epoch.inter"),
    "another replaced file": (replace(WHOLE, replaced="001.keras"), "replaced: .* found '001.keras'"),
    "another due file": (replace(WHOLE, due="../002.keras"), "due: .* found '../002.keras'"),
}


@pytest.mark.parametrize("lie", FORGED)
def test_what_no_run_has_written_is_refused(lie: str) -> None:
    """With the field, what was expected, and what was found."""
    ledger, words = FORGED[lie]
    with pytest.raises(ValueError, match=words):
        accepted(ledger, TEMPLATE)


@pytest.mark.parametrize("names", [{"surplus": ("../001.keras",)}, {"replaced": "001.keras"}], ids=str)
def test_nothing_else_is_ever_named_for_deletion(names: dict[str, Any]) -> None:
    """Also where it was not looked at before."""
    with pytest.raises(ValueError, match="found"):
        _ = replace(WHOLE, **names).gone


def checkpoint(directory: Path, ledger: Any = None) -> Any:
    made = ModelCheckpointEnhanced(directory / TEMPLATE, max_to_keep=1)
    if ledger is not None:
        made.ledger = ledger
    return made


@pytest.mark.parametrize("lie", ["no ledger", "a field too few", "a text for the stamp", "a path in the surplus"])
def test_a_forged_state_file_is_refused_at_the_restore(tmp_path: Path, lie: str) -> None:
    """The error names the file, the callback and what was found; the callback is as it was."""
    snapshot = saved(checkpoint(tmp_path, FORGED[lie][0]))
    into = checkpoint(tmp_path)
    with pytest.raises(
        CorruptCheckpointError, match=f"000.keras.callbacks.pkl.*Enhanced: ledger: {FORGED[lie][1]}"
    ):
        put_into(snapshot, into)
    assert into.ledger == BEGUN


@stateful
class Holder(keras.callbacks.Callback):
    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held


def test_a_checkpoint_that_another_callback_holds_is_looked_at_too(tmp_path: Path) -> None:
    """Its ledger comes from the same file."""
    snapshot = saved(Holder([checkpoint(tmp_path, FORGED["a path"][0])]))
    into = Holder([checkpoint(tmp_path)])
    with pytest.raises(CorruptCheckpointError, match="ledger: written: "):
        put_into(snapshot, into)
    assert into.held[0].ledger == BEGUN


def test_a_ledger_is_looked_at_again_before_it_is_used(tmp_path: Path) -> None:
    """However it came into the callback: nothing is deleted."""
    precious = tmp_path / "precious.keras"
    precious.write_bytes(b"precious")
    forged = checkpoint(tmp_path / "ckpt", replace(BEGUN, surplus=("../precious.keras",), stamp=1))
    with pytest.raises(
        RestoreError, match=r"ModelCheckpointEnhanced.ledger: surplus: .* found '../precious.keras'"
    ):
        fresh_model().fit(X, Y, epochs=1, verbose=0, callbacks=[forged])
    assert precious.read_bytes() == b"precious"


def test_a_ledger_comes_back_from_a_file_as_it_was(tmp_path: Path) -> None:
    """All of it but the interim file that goes next: that is the live callback's."""
    into = checkpoint(tmp_path)
    put_into(saved(checkpoint(tmp_path, WHOLE)), into)
    assert into.ledger == replace(WHOLE, replaced=None)
