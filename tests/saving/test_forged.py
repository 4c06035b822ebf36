"""Whatever a sealed state file says of our own callback, a run harms no file that it has not written."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from played import play, saver, start, tiny_model

from callback_state import CallbackStateError, restore_callbacks
from callback_state._callbacks.capture import state_of
from callback_state._callbacks.taken import take
from callback_state._checkpoints.schema import Meta, Run
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._format.statefile import seal
from callback_state._saving.ledger import Ledger
from callback_state._store.pair import SUFFIX, open_pair

NAME = "3.weights.h5"
#: Names that somebody may want a run to delete or to write, and those of the run and of another one.
NAMES = (
    *("../precious.txt", "precious.keras", "mine/precious.keras", "..", "", "/etc/passwd", "C:1.weights.h5"),
    *("1.weights.h5", "2.weights.h5", NAME, "4.weights.h5", "5.weights.h5", "epoch.interim.weights.h5"),
)
names = st.sampled_from(NAMES)
numbers = st.one_of(st.integers(), st.sampled_from([-5, 0, 2, 10**9, 2**63]), st.floats(), st.booleans())
scalars = st.one_of(st.none(), numbers, names, st.text(max_size=5), st.binary(max_size=5))
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(names, st.text(max_size=3)), inner, max_size=3),
    ),
    max_leaves=6,
)
ledgers = st.one_of(
    plain,
    st.lists(st.tuples(names, st.none() | st.floats()), max_size=4, unique_by=lambda entry: entry[0]).map(tuple),
    st.lists(names, max_size=4, unique=True).map(tuple),
)
fitting = st.lists(st.sampled_from([f"{n}.weights.h5" for n in range(1, 8)]), max_size=6, unique=True)
#: A ledger that the run may have written, but has not.
believed = st.builds(
    lambda names, cut, rest: {
        "written": tuple((name, None) for name in names[:cut]),
        "surplus": tuple(names[cut:]),
        **rest,
    },
    fitting,
    st.integers(0, 6),
    st.fixed_dictionaries(
        {"interim": st.sampled_from([None, "epoch.interim.weights.h5"]), "stamp": st.integers(0, 2**63 - 1)}
    ),
)
_LEDGER = [field.name for field in fields(Ledger) if field.name != "replaced"]
_META = [field.name for field in fields(Meta) if field.name not in ("model", "callbacks")]


class World:
    """A directory with a checkpoint of one run among files of other people, made once, copied for each case."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        start(directory / "a", 3, max_to_keep=1)
        start(directory / "b", 2)
        ckpt = directory / "world" / "ckpt"
        shutil.copytree(directory / "b", ckpt)
        for name in (NAME, NAME + SUFFIX):
            shutil.copy2(directory / "a" / name, ckpt / name)
        for path in (ckpt / "mine" / "precious.keras", ckpt / "precious.keras", ckpt.parent / "precious.txt"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"precious")
        sealed = open_pair(ckpt / NAME).sealed
        self.digest, self.size = sealed.model_digest, sealed.model_size
        self.snapshot = Snapshot.read(NAME, sealed)

    def forged(self, state: dict[str, Any], ledger: dict[str, Any], meta: dict[str, Any], run: Run) -> bytes:
        """The state file that says all this of the run."""
        made = saver(Path("ckpt"), max_to_keep=1)
        made.ledger = replace(Ledger("{epoch}.weights.h5", ((NAME, None),), due=NAME, stamp=1))
        vars(made).update(state)
        if type(made.ledger) is Ledger:
            vars(made.ledger).update(ledger)
        tree = take([made], None, replace(self.snapshot.meta, **meta), run).tree
        return seal(tree, self.digest, self.size)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("forged"))


def content(directory: Path) -> dict[str, bytes]:
    """All files and links, but those of the run's own checkpoint."""
    paths = (path for path in sorted(directory.rglob("*")) if not path.name.startswith(NAME))
    return {
        str(path.relative_to(directory)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in paths
        if path.is_symlink() or path.is_file()
    }


def fitted(callbacks: list[Any], epochs: int, *, first: int, model: Any) -> None:
    """A real ``fit``, as :func:`play` is called."""
    x = np.ones((2, 1), "float32")
    model.fit(x, x, epochs=epochs, initial_epoch=first, callbacks=callbacks, verbose=0)


def go_on(directory: Path, go: Any) -> str:
    """Restore, and go on for two epochs; a refusal is fine, as is any warning. Returns how far it came."""
    made, model = [saver(directory, max_to_keep=1, save_every=3600)], tiny_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        came = "not restored"
        try:
            restored = restore_callbacks(directory / NAME, into=made, model=model)
            came = "restored"
            if restored.initial_epoch < 10**4:
                go(made, restored.initial_epoch + 2, first=restored.initial_epoch, model=model)
                came = "played"
        except CallbackStateError as error:
            came = f"{came}, then {type(error).__name__}"
    return came


def check(
    world: World, state: dict[str, Any], ledger: dict[str, Any], meta: dict[str, Any], links: bool, go: Any
) -> None:
    """Forge the state file, and go on from it; every file of other people must stay as it is."""
    try:
        data = world.forged(state, ledger, meta, world.snapshot.run)
    except (CallbackStateError, ValueError, TypeError, AttributeError, KeyError):
        return  # it cannot even be written, so it is refused when it is read: the same check
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "world"
        shutil.copytree(world.directory / "world", directory)
        (directory / "ckpt" / (NAME + SUFFIX)).write_bytes(data)
        if links:
            for name in ("1", "2", "4"):
                path = directory / "ckpt" / f"{name}.weights.h5"
                path.unlink(missing_ok=True)
                path.symlink_to("../precious.txt")
        before = content(directory)
        event(go_on(directory / "ckpt", go))
        after = content(directory)
        assert {name: after.get(name) for name in before} == before
        assert all(
            re.fullmatch(r"ckpt/([0-9]+|epoch\.interim)\.weights.*", name) for name in after.keys() - before
        )


CASES: dict[str, Any] = {
    "state": st.dictionaries(st.sampled_from([*state_of(saver(Path("ckpt")))]), plain, max_size=1),
    "ledger": st.one_of(believed, st.dictionaries(st.sampled_from(_LEDGER), ledgers, max_size=2)),
    "meta": st.one_of(st.just({}), st.dictionaries(st.sampled_from(_META), plain, max_size=1)),
    "links": st.booleans(),
}


@settings(max_examples=200, deadline=None)
@given(**CASES)
def test_no_file_that_the_run_did_not_write_changes_or_goes(world: World, **case: Any) -> None:
    """Any plain value in any attribute of a checkpoint callback and in ``meta``; also where links lie about."""
    check(world, **case, go=play)


@pytest.mark.parametrize("count", [10, pytest.param(1000, marks=pytest.mark.heavy)])
def test_nor_in_a_real_fit(world: World, count: int) -> None:
    """The loop of the test above only plays fit."""

    @settings(max_examples=count, deadline=None)
    @given(**CASES)
    def run(**case: Any) -> None:
        check(world, **case, go=fitted)

    run()
