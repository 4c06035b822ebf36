"""Trust is given, per call: to everything, to names, or to whoever knows a key."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Strike, X, Y, make_model
from kept import kept
from states import saved

from callback_state import (
    ModelCheckpointEnhanced,
    RestoreError,
    UntrustedError,
    list_checkpoints,
    reopen,
    restore_callbacks,
    stateful,
    untrusted,
)
from callback_state._checkpoints import needs
from callback_state._format import opener as _opener
from callback_state._format.statefile import seal, unseal
from callback_state._format.trust import VARIABLE, Keys, Trust
from callback_state._store.pair import SUFFIX
from callback_state.cli.values import view

KEY, OLD, WRONG = "k" * 32, "o" * 32, "w" * 32


@pytest.fixture(autouse=True)
def no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@stateful
class Holds(keras.callbacks.Callback):
    """Holds what is no plain data."""

    def __init__(self) -> None:
        super().__init__()
        self.held: Any = None
        self.count = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1


def train(directory: Path, held: Any = None, name: str = "{epoch}.keras", **options: Any) -> Path:
    """Train two epochs, in which a callback gets an object, and return the newest model file."""
    holds = Holds()
    gets = Strike("epoch_begin", at=0, act=lambda model: setattr(holds, "held", held))
    saver = ModelCheckpointEnhanced(directory / name, **options)
    kept(make_model).fit(X, Y, epochs=2, verbose=0, callbacks=[holds, gets, saver])
    return Path(list_checkpoints(directory)[-1].path)


@functools.cache
def _files(key: str | None) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        train(Path(directory), key=key)
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def save(directory: Path, key: str | None = None) -> Path:
    """What a run of two epochs leaves, made once for each key; its newest model file."""
    directory.mkdir(exist_ok=True)
    for name, data in _files(key).items():
        (directory / name).write_bytes(data)
    return directory / "2.keras"


def restore(path: Path, **options: Any) -> Holds:
    holds = Holds()
    restore_callbacks(path, into=[holds, ModelCheckpointEnhanced(path.parent / "{epoch}.keras")], **options)
    return holds


# Keys


def test_what_is_signed_is_restored_with_the_key_only(tmp_path: Path) -> None:
    """Without a key too, as data; with another key it is refused, and so is an unsigned file with a key."""
    signed, plain = save(tmp_path / "signed", key=KEY), save(tmp_path / "plain")
    assert restore(signed, key=KEY).count == restore(signed).count == restore(plain).count == 2
    with pytest.raises(UntrustedError, match="signed with another key"):
        restore(signed, key=WRONG)
    with pytest.raises(UntrustedError, match="expected a state file that is signed, found one without"):
        restore(plain, key=KEY)


def test_an_unsigned_file_is_of_the_old_format(tmp_path: Path) -> None:
    """Releases that know no signatures read it; a signed one they refuse as of a newer format."""
    assert unseal(seal([1], bytes(32), 5), "x").signature is None
    assert unseal(seal([1], bytes(32), 5, lambda fields: bytes(32)), "x").signature == bytes(32)


def by_value() -> Any:
    """A function that only cloudpickle can store."""
    return functools.partial(lambda text: text, "by value")


@pytest.mark.filterwarnings("ignore:stored by value")
def test_a_right_signature_is_trust(tmp_path: Path) -> None:
    """Code in a file that whoever knows the key has written is read."""
    path = train(tmp_path, by_value(), key=KEY)
    assert restore(path, key=KEY).held() == "by value"
    assert restore(path).held is None  # perhaps on_train_begin makes it


def test_the_newest_rightly_signed_one_is_taken(tmp_path: Path) -> None:
    """Somebody put a newer file into the directory: it is named, and left aside."""
    save(tmp_path / "mine", key=KEY)
    other = train(tmp_path / "other", name="9.keras")
    for name in os.listdir(tmp_path / "other"):
        shutil.copy(tmp_path / "other" / name, tmp_path / "mine" / name)
    assert list_checkpoints(tmp_path / "mine")[-1].path.endswith(other.name)
    with pytest.warns(UserWarning, match="9.keras: expected a state file that is signed"):
        restored = restore_callbacks(tmp_path / "mine", into=[Holds()], key=KEY, strict=False)
    assert restored.model_path == str(tmp_path / "mine" / "2.keras")


def test_a_directory_without_a_rightly_signed_one_is_refused(tmp_path: Path) -> None:
    """It is not taken for a first start."""
    save(tmp_path)
    with pytest.raises(UntrustedError, match="none of 2"):
        restore_callbacks(tmp_path, into=[Holds()], key=KEY, missing_ok=True)


@pytest.mark.parametrize("swap", ["state", "pair"])
def test_a_signed_file_counts_for_its_model_and_name(tmp_path: Path, swap: str) -> None:
    """A state put beside another model, or a whole pair renamed to another epoch."""
    save(tmp_path, key=KEY)
    first, second = tmp_path / "1.keras", tmp_path / "2.keras"
    shutil.copy(f"{first}{SUFFIX}", f"{second}{SUFFIX}")
    if swap == "pair":
        shutil.copy(first, second)
    with pytest.raises((UntrustedError, ValueError), match=r"renamed|another save"):
        restore(second, key=KEY)


def test_each_byte_is_under_the_signature(tmp_path: Path) -> None:
    """Whoever changes the data and seals them anew has no key."""
    path = save(tmp_path, key=KEY)
    state = Path(f"{path}{SUFFIX}")
    found = unseal(state.read_bytes(), "x")
    signature = found.signature
    assert signature is not None
    nodes, *rest = found.tree
    changed = [[*nodes, ("list", [])], *rest]
    state.write_bytes(seal(changed, found.model_digest, found.model_size, lambda fields: signature))
    assert restore(path).count == 2
    with pytest.raises(UntrustedError, match="changed since"):
        restore(path, key=KEY)


def test_keys_are_rotated(tmp_path: Path) -> None:
    """The first one signs, each is accepted."""
    old, new = save(tmp_path / "old", key=OLD), train(tmp_path / "new", key=[KEY, OLD])
    for path in (old, new):
        assert restore(path, key=[KEY, OLD]).count == 2
    assert restore(new, key=KEY).count == 2
    with pytest.raises(UntrustedError):
        restore(new, key=OLD)


def test_the_key_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs and is required without an argument; several are separated by blanks."""
    monkeypatch.setenv(VARIABLE, f"{KEY} {OLD}")
    path = train(tmp_path)
    assert restore(path).count == 2
    monkeypatch.setenv(VARIABLE, WRONG)
    with pytest.raises(UntrustedError):
        restore(path)
    assert restore(path, key=KEY).count == 2
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(ValueError, match=f"{VARIABLE}: a key has less than 16 bytes"):
        restore(path)


def test_the_end_of_a_run_is_signed_too(tmp_path: Path) -> None:
    """The mark rewrites the state file, and so does taking it off."""
    path = save(tmp_path, key=KEY)
    restored = restore_callbacks(path, into=[Holds()], key=KEY, strict=False)
    assert restored.finished
    with pytest.raises(UntrustedError, match="pass key="):
        reopen(path)
    reopen(path, key=KEY)
    assert not restore_callbacks(path, into=[Holds()], key=KEY, strict=False).finished


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    """Not in a repr, not in an error, not in a file, not in a pickle."""
    saver = ModelCheckpointEnhanced(tmp_path / "x.keras", key=KEY)
    keys = Keys.of([KEY, OLD])
    assert KEY not in repr(vars(saver)) and repr(keys) == "<2 keys>"
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(keys)
    for short in ("secret", [KEY, "secret"], b"secret"):
        with pytest.raises(ValueError, match="less than 16 bytes") as error:
            Keys.of(short)
        assert "secret'" not in str(error.value)
    for wrong in (5, [5], []):
        with pytest.raises(TypeError):
            Keys.of(wrong)
    save(tmp_path, key=KEY)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_a_checkpoint_made_again_from_its_file_goes_on_signing(tmp_path: Path) -> None:
    """With the key that it was restored with."""
    path = save(tmp_path, key=KEY)
    restored = restore_callbacks(path, key=KEY)
    assert restored["ModelCheckpointEnhanced"].keys is not None
    assert restore_callbacks(path)["ModelCheckpointEnhanced"].keys is None


# Names


class Foreign:
    """An object that nobody has registered."""

    def __init__(self, value: int) -> None:
        self.value = value


class Reduced:
    """One that is made by calling something."""

    def __reduce__(self) -> Any:
        return os.path.join, ("a", "b")


FOREIGN = f"{__name__}.Foreign"


@pytest.mark.filterwarnings("ignore:stored by value")
def test_names_can_be_trusted_one_by_one(tmp_path: Path) -> None:
    """Those that are needed and no others; the error lists them by callback and attribute."""
    path = train(tmp_path, Foreign(7))
    needed = ("copyreg._reconstructor", "builtins.object", FOREIGN)
    with pytest.raises(UntrustedError, match=rf"Holds.held \(.*Foreign\) needs .*{FOREIGN}") as refused:
        restore(path, trusted=["some.Other"])
    (need,) = refused.value.needs
    assert need == untrusted(path)[0]
    assert need.path == "Holds.held" and FOREIGN in need.names
    assert restore(path, trusted=list({*need.names, *needed})).held.value == 7
    assert restore(path, trusted=True).held.value == 7


@pytest.mark.filterwarnings("ignore:stored by value")
def test_what_is_listed_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking calls nothing and imports nothing."""
    path = train(tmp_path, Reduced())
    called: list[Any] = []
    monkeypatch.setattr(os.path, "join", lambda *args: called.append(args))
    found = untrusted(path)
    monkeypatch.undo()
    assert [n.path for n in found] == ["Holds.held"]
    assert ("a", "b") not in called


def test_a_file_of_plain_data_needs_nothing(tmp_path: Path) -> None:
    """By its path, its state file, or its directory."""
    path = save(tmp_path)
    assert untrusted(path) == untrusted(f"{path}{SUFFIX}") == untrusted(tmp_path) == []


@pytest.mark.parametrize("trusted", [5, "Class", ["Class"], [5], None], ids=str)
def test_what_is_no_name_is_refused(tmp_path: Path, trusted: Any) -> None:
    """Before the file is looked at."""
    with pytest.raises(TypeError):
        restore_callbacks(tmp_path / "missing.keras", trusted=trusted)


NAMED = Trust(names=frozenset({f"{__name__}.harmless"}))


def harmless(text: str) -> str:
    return text


def opened(data: bytes, trust: Trust = NAMED) -> Any:
    return _opener.Opener("file", [data], sys.version, trust).open(0, lambda name: None)


STREAMS = {
    "another function": b"cos\nsystem\n(S'echo x'\ntR.",
    "an attribute of a trusted one": f"\x80\x04c{__name__}\nharmless.__globals__\n.".encode("latin1"),
    "a dotted name on the stack": b"\x80\x04\x8c"
    + bytes([len(__name__)])
    + __name__.encode()
    + b"\x8c\x14harmless.__globals__\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "no pickle": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)
def test_a_stream_gets_no_further_than_its_names(data: bytes) -> None:
    """What is looked up while it is read is judged, not what a scan has seen before."""
    with pytest.raises((UntrustedError, RestoreError)):
        opened(data)


def test_code_by_value_stays_within_one_python() -> None:
    """What another one wrote may end the process: it is refused before it is parsed, with that reason."""
    import cloudpickle

    data = cloudpickle.dumps(by_value())
    opener = _opener.Opener("file", [data], "3.9.1", Trust(everything=True))
    with pytest.raises(RestoreError, match=r"written by Python 3.9, which Python 3\.\d+ cannot run"):
        opener.open(0, lambda name: None)
    opener = _opener.Opener("file", [pickle.dumps(harmless)], "3.9.1", Trust(everything=True))
    assert opener.open(0, lambda name: None) is harmless


def test_names_are_found_however_they_are_written() -> None:
    """By GLOBAL, by STACK_GLOBAL, out of the memo; what cannot be told is a question mark."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        names = _opener.names_in(pickle.dumps([hashlib.sha256, Foreign(1), Foreign, os.getcwd], protocol))
        assert {FOREIGN, f"{os.getcwd.__module__}.getcwd"} <= set(names)
    assert _opener.names_in(b"hello") == ("?",)
    assert "?" in _opener.names_in(b"\x80\x02\x82\x01.")


def test_an_entry_is_looked_at_once_however_many_refer_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the list of what a file needs, by the check of trust, and by the view of a file."""
    looked: list[bytes] = []
    for module in (needs, _opener, view):
        monkeypatch.setattr(module, "names_in", lambda data: (looked.append(data), ("a.b",))[1])
    snapshot = saved(Holds())
    snapshot.pickles.append(b"entry")
    nodes = [("value", 0, "an object", f"Holds.x{i}") for i in range(60)]
    first = len(snapshot.state.nodes)
    snapshot.state.nodes += [*nodes, ("list", [(first + i,) for i in range(60)])]
    assert len(needs.needs_of(snapshot)) == 60
    reader = snapshot.opener(Trust(names=frozenset({"a.b"})))
    assert all(reader.allows(0) for _ in range(60))
    shown = view.Viewer(snapshot.state.nodes, view.Entries(snapshot.pickles)).of((first + 60,), "")
    assert len(shown) == 60 and looked == [b"entry"] * 3
