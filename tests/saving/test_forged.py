"""Whatever a sealed state file says of callbacks that write files, a run harms no file that it has not written."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from play import play, saver, start, tiny_model

from callback_state import CallbackStateError, restore_callbacks
from callback_state._callbacks import taken
from callback_state._callbacks.capture import state_of
from callback_state._checkpoints.schema import Meta, Run
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._format.statefile import seal
from callback_state._saving.ledger import Ledger
from callback_state._store.claims import Owner, claim
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
_RUN = [field.name for field in fields(Run)]
#: How often a file is forged: with a loop that plays ``fit``, with a real one, and in the long tests.
PLAYED, REAL, LONG = 200, 10, 1000
#: Rows that another run has appended, and a remark. Nothing goes on with these epochs: docs/trust.rst says that
#: rows which continue the epochs that a file names are taken for the run's own.
FOREIGN = b"-2,9.0,NA\r\n-1,9.0,NA\r\n# mine\r\n"
#: What a run may make, also behind a link to a directory.
NEW = re.compile(
    r"ckpt/([0-9]+(\.final)?|epoch\.interim)\.weights.*|ckpt/\.callback_state.*"
    r"|(logs|mine)/(train|validation)/events.*"
)
#: Where links of other people lie, by the path from the directory that is copied.
SPOTS = (
    *(
        f"ckpt/{name}.weights.h5{suffix}"
        for name in ("1", "2", "4", "5", "epoch.interim")
        for suffix in ("", SUFFIX)
    ),
    *("ckpt/.callback_state.lock", "ckpt/6.weights.h5", "logs/train", "logs/validation", "event file", "note"),
)


def loggers(directory: Path) -> list[Any]:
    """The callbacks that write logs."""
    board = keras.callbacks.TensorBoard(str(directory / "logs"), write_graph=False)
    return [keras.callbacks.CSVLogger(str(directory / "log.csv"), append=True), board]


class World:
    """A directory with a checkpoint and logs of one run among files of others, made once, copied for each case."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "world"
        ckpt, logs = self.directory / "ckpt", self.directory / "logs"
        start(directory / "b", 2)
        shutil.copytree(directory / "b", ckpt)
        start(directory / "a", 3, *loggers(self.directory), max_to_keep=1)
        for name in (NAME, NAME + SUFFIX):
            shutil.copy2(directory / "a" / name, ckpt / name)
        sealed = open_pair(ckpt / NAME).sealed
        self.digest, self.size = sealed.model_digest, sealed.model_size
        self.snapshot = Snapshot.read(NAME, sealed)
        self.outside = {entry.class_.rpartition(".")[2]: entry.outside for entry in self.snapshot.meta.callbacks}
        #: What the run has written itself.
        self.own = {path.relative_to(self.directory).as_posix() for path in logs.rglob("*") if path.is_file()}
        (self.event_file,) = (name for name in self.own if "tfevents" in name)
        (self.note,) = self.own - {self.event_file}
        self.own.add(self._goes_on(directory / "a"))
        for path in (ckpt / "mine", ckpt, self.directory, logs, logs / "train", logs / "validation"):
            path.mkdir(exist_ok=True)
            for name in ("precious.keras", "precious.txt", "events.out.tfevents.2000000000.elsewhere.1.0.v2"):
                (path / name).write_bytes(b"precious")
        (self.directory / "mine" / "precious.csv").parent.mkdir()
        (self.directory / "mine" / "precious.csv").write_bytes(b"epoch,loss\r\n0,1.0\r\n")

    def _goes_on(self, checkpoints: Path) -> str:
        """The run has logged more after its checkpoint, and so has another one. The name of the run's new file."""
        with (self.directory / "log.csv").open("ab") as file:
            file.write(b"3,0.25,NA\r\n" + FOREIGN)
        name = "train/events.out.tfevents.2000000000.here.1.0.v2"
        (self.directory / "logs" / name).write_bytes(b"later")
        claim(str(self.directory / "logs"), [name], Owner.of(self.snapshot.meta.run_id, [str(checkpoints)]))
        return f"logs/{name}"

    def forged(self, case: dict[str, Any]) -> bytes:
        """The state file that says all this of the run."""
        made = saver(Path("ckpt"), max_to_keep=1)
        made.ledger = Ledger("{epoch}.weights.h5", ((NAME, None),), due=NAME, stamp=1)
        vars(made.ledger).update(case.get("ledger", {}))
        callbacks = [made, *loggers(Path())]
        callbacks[1].keys = ["loss", "val_loss"]

        def state(callback: Any) -> dict[str, Any]:
            said = {
                name: value
                for (cls, name), value in case.get("state", {}).items()
                if cls == type(callback).__name__
            }
            return {**state_of(callback), **said}

        def outside(callback: Any) -> Any:
            cls = type(callback).__name__
            return case.get("outside", {}).get(cls, self.outside.get(cls))

        meta = replace(self.snapshot.meta, **case.get("meta", {}))
        run = replace(self.snapshot.run, **case.get("run", {}))
        with patch.object(taken, "state_of", state), patch.object(taken, "outside_of", outside):
            tree = taken.take(callbacks, None, meta, run, apart=False).tree
        return seal(tree, self.digest, self.size)

    def content(self, directory: Path) -> dict[str, bytes]:
        """All files and links in a copy, but for what the run has written itself."""
        found = {}
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory).as_posix()
            if name == "ckpt/.callback_state.lock":
                continue  # this name is the package's; a link there is removed, and what it leads to stays
            if path.is_symlink():
                found[name] = str(path.readlink()).encode()
            elif path.is_file() and name not in self.own and not name.startswith(f"ckpt/{NAME}"):
                found[name] = path.read_bytes()
        log = found.pop("log.csv")
        found["the rows of another run"] = b"".join(line for line in FOREIGN.splitlines(True) if line in log)
        return found

    def link(self, directory: Path, spot: str) -> None:
        """Put a link in a place; it leads to something that somebody wants to keep."""
        path = directory / {"event file": self.event_file, "note": self.note}.get(spot, spot)
        target = directory / "mine" / path.name
        if path.is_dir():
            path.rename(target)
        else:
            path.unlink(missing_ok=True)
            target.write_bytes(b"precious")
        path.symlink_to(target)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("forged"))


def fitted(callbacks: list[Any], epochs: int, *, first: int, model: Any) -> None:
    """A real ``fit``, as :func:`play` is called."""
    x = np.ones((2, 1), "float32")
    model.fit(x, x, epochs=epochs, initial_epoch=first, callbacks=callbacks, verbose=0)


def go_on(directory: Path, go: Any) -> str:
    """Restore, and go on for two epochs; a refusal is fine, as is any warning. Returns how far it came."""
    made, model = [saver(directory / "ckpt", max_to_keep=1, save_every=3600), *loggers(directory)], tiny_model()
    came = "not restored"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            restored = restore_callbacks(directory / "ckpt" / NAME, into=made, model=model)
            came = "restored"
            if restored.initial_epoch < 10**4:
                go(made, restored.initial_epoch + 2, first=restored.initial_epoch, model=model)
                came = "played"
        except CallbackStateError as error:
            came = f"{came}, then {type(error).__name__}"
        finally:
            made[0].use(None)
            getattr(made[1], "csv_file", None) and made[1].csv_file.close()
    return came


def check(world: World, case: dict[str, Any], links: Iterable[str], go: Any) -> str:
    """Forge the state file, and go on from it; every file of other people must stay as it is."""
    try:
        data = world.forged(case)
    except (CallbackStateError, ValueError, TypeError, AttributeError, KeyError):
        return "not written"  # it cannot even be written, so it is refused when it is read: the same check
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "world"
        shutil.copytree(world.directory, directory)
        (directory / "ckpt" / (NAME + SUFFIX)).write_bytes(data)
        for spot in links:
            world.link(directory, spot)
        before = world.content(directory)
        came = go_on(directory, go)
        after = world.content(directory)
        assert {name: after.get(name) for name in before} == before
        assert [name for name in after.keys() - before if not NEW.fullmatch(name)] == []
        return came


def fields_of(owner: Any, names: Iterable[str]) -> Any:
    return st.dictionaries(
        st.sampled_from([(type(owner).__name__, name) for name in sorted(names)]), plain, max_size=2
    )


def attributes_of(owner: Any) -> set[str]:
    """All attributes, those that are no state included."""
    return {*state_of(owner), *vars(owner)}


SAVER, LOGGER, BOARD = saver(Path("ckpt")), *loggers(Path())
event_names = st.sampled_from(
    [
        f"{part}/events.out.tfevents.2000000000.{host}.1.0.v2"
        for part in ("train", "..")
        for host in ("here", "elsewhere")
    ]
)
sizes = st.one_of(plain, st.integers(0, 100), st.dictionaries(st.one_of(names, event_names), st.integers(0, 9)))
CASES: dict[str, Any] = {
    "state": st.one_of(*(fields_of(one, attributes_of(one)) for one in (SAVER, LOGGER, BOARD))),
    "ledger": st.one_of(believed, st.dictionaries(st.sampled_from(_LEDGER), ledgers, max_size=2)),
    "meta": st.one_of(st.just({}), st.dictionaries(st.sampled_from(_META), plain, max_size=1)),
    "run": st.one_of(st.just({}), st.dictionaries(st.sampled_from(_RUN), plain, max_size=1)),
    "outside": st.dictionaries(
        st.sampled_from(["CSVLogger", "TensorBoard"]),
        st.one_of(
            plain,
            st.fixed_dictionaries({"size": sizes, "end": plain, "header": plain}),
            st.fixed_dictionaries({"files": sizes, "at": st.one_of(plain, st.just(0))}),
        ),
    ),
}
#: One part of a file is forged at a time, or all are: a file with one lie is read to its end.
cases = st.one_of(
    st.sampled_from(sorted(CASES)).flatmap(lambda name: st.fixed_dictionaries({name: CASES[name]})),
    st.fixed_dictionaries(CASES),
)
links = st.lists(st.sampled_from(SPOTS), unique=True)


def test_the_true_file_is_restored_and_its_logs_are_wound_back(world: World) -> None:
    """Else the tests below would say nothing: what the run has logged after the checkpoint goes, and no more."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "world"
        shutil.copytree(world.directory, directory)
        assert go_on(directory, play) == "played"
        rows = (directory / "log.csv").read_bytes().splitlines()
        assert [row.split(b",")[0] for row in rows] == [
            b"epoch",
            b"0",
            b"1",
            b"2",
            b"-2",
            b"-1",
            b"# mine",
            b"3",
            b"4",
        ]
        here = {name for name in world.own if (directory / name).exists()}
        assert len(world.own - here) == 1 and world.event_file in here


@settings(max_examples=PLAYED, deadline=None)
@given(case=cases, links=st.one_of(st.just([]), links))
def test_no_file_that_the_run_did_not_write_changes_or_goes(
    world: World, case: dict[str, Any], links: list[str]
) -> None:
    """Any plain value in any attribute of the callbacks that write files, in ``meta`` and in ``run``.

    Also where links lie in the place of checkpoints, event files, notes, the lock and directories.
    """
    event(check(world, case, links, play))


@pytest.mark.parametrize("count", [REAL, pytest.param(LONG, marks=pytest.mark.heavy)])
def test_nor_in_a_real_fit(world: World, count: int) -> None:
    """The loop of the tests above only plays fit."""

    @settings(max_examples=count, deadline=None)
    @given(case=cases, links=st.one_of(st.just([]), links))
    def run(case: dict[str, Any], links: list[str]) -> None:
        event(check(world, case, links, fitted))

    run()
