"""What one state file says: the run at one quiet point, as plain data.

    meta    what can be shown without building anything: moment, versions, history, configurations
    run     generators and seeds
    state   {key: {attribute: value}} of the callbacks

The three are one table of nodes, so that objects which callbacks share stay shared; its first node is the
summary, see :mod:`.summary`. Beside it stands the by-value section, a list of pickles that only a trusted
file's reader opens. Large arrays are in files of their own, which are read when an array is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from .._format import blocks
from .._format.decode import Decoder
from .._format.opener import Opener
from .._format.statefile import Sealed, unseal
from .._format.table import Table, two_by_two
from .._format.trust import Keys, Trust
from .._store import arrays
from .._store import pair as _pair
from ..exceptions import CorruptCheckpointError
from .schema import Contents, Meta, Run
from .summary import Summary
from .typed import SchemaError


def columns_of(meta: Meta) -> dict[str, list[Any]]:
    """The history as users read it: one list per series, and ``epochs`` (0-based)."""
    return {**meta.history.series, "epochs": meta.history.epochs}


@dataclass
class Snapshot:
    """A state file's contents; state and by-value section are still undecoded."""

    where: str
    meta: Meta
    run: Run
    state: Table
    pickles: list[bytes]
    #: What the other processes of the training had taken, sealed: that of process i is number i - 1.
    parts: list[bytes] = field(default_factory=list)

    @classmethod
    def open(cls, path: str, keys: Keys | None = None) -> Snapshot:
        """The snapshot of the checkpoint at ``path``, verified; with keys its signature too."""
        pair = _pair.open_pair(path, keys=keys)
        return cls.read(pair.state_path, pair.sealed)

    def stored(self) -> dict[str, set[str]]:
        """The names of the attributes that are stored of each callback, by its key."""
        states = two_by_two(self.state.nodes[self.state.root[0]][1])
        return {key: {n for n, _ in two_by_two(self.state.nodes[ref[0]][1])} for key, ref in states}

    def opener(self, trust: Trust) -> Opener:
        """What reads the by-value section."""
        return Opener(self.where, self.pickles, self.meta.versions.get("python", ""), trust)

    @property
    def processes(self) -> int:
        """How many processes had trained together."""
        return 1 + len(self.parts)

    def of_process(self, index: int, count: int) -> Snapshot:
        """What the process ``index`` (0-based) of ``count`` goes on from. Raises CorruptCheckpointError.

        If another number of processes had trained, it is the state of the first.
        """
        if index == 0 or count != self.processes:
            return self
        part = Snapshot.read(self.where, unseal(self.parts[index - 1], self.where))
        run = replace(self.run, generators=part.run.generators, data=part.run.data)
        if not part.meta.callbacks:  # they were as those of the first
            return replace(self, run=run)
        meta = replace(self.meta, callbacks=part.meta.callbacks)
        return replace(self, meta=meta, run=run, state=part.state, pickles=part.pickles)

    @classmethod
    def read(cls, where: str, sealed: Sealed) -> Snapshot:
        """Decode what needs neither classes nor trust; CorruptCheckpointError if no release wrote the inside."""
        try:
            match sealed.tree:
                case [list(nodes), root, state, list(pickles), *more]:
                    nodes = _attached(nodes, where, sealed)
                    contents = Contents.of(Decoder(Table.from_tree([nodes, root])).value())
                    states = Table.from_tree([nodes, state])
                    Summary.of(contents.meta).check(states.nodes[0])
                    check_states(states, {entry.key for entry in contents.meta.callbacks})
                    if not all(type(data) in (bytes, memoryview) for data in pickles):
                        raise SchemaError("the by-value section holds something else than bytes")
                    code = [bytes(data) for data in pickles]
                    return cls(where, contents.meta, contents.run, states, code, _parts_in(more))
        except ValueError as error:
            raise CorruptCheckpointError(where, f"no state file of this package ({error})") from error
        raise CorruptCheckpointError(where, "no state file of this package")


def _parts_in(more: list[Any]) -> list[bytes]:
    match more:
        case []:
            return []
        case [list(parts)] if parts and all(type(data) in (bytes, memoryview) for data in parts):
            return [bytes(data) for data in parts]
    raise SchemaError("the parts of other processes: expected bytes")


def _attached(nodes: list[Any], where: str, sealed: Sealed) -> list[Any]:
    """The nodes, with what reads the large arrays, whose files are there in the right size."""
    model = _pair.model_of(where)
    arrays.check(model, sealed.blocks, only_size=True)
    files = blocks.files_of(sealed.blocks)
    places = blocks.places(sealed.blocks)

    def reader(number: int) -> Callable[[memoryview], None]:
        file, place = places[number]
        return partial(arrays.read_block, model, files[file], place)

    return blocks.attached(nodes, sealed.blocks, reader)


def check_states(table: Table, keys: set[str]) -> None:
    """Raise SchemaError unless the states are {key: {attribute: value}}, of the callbacks in ``meta``."""
    states = dict(two_by_two(_names_in(table, table.root)))
    if states.keys() != keys:
        raise SchemaError(".state: it is not of the callbacks that .meta describes")
    for ref in states.values():
        _names_in(table, ref)
    if len(set(states.values())) != len(states):
        raise SchemaError(".state: two callbacks share one")


def _names_in(table: Table, ref: Any) -> list[Any]:
    """Keys and values of a dict in the table, one after the other; its keys are texts."""
    match ref:
        case (int(i),) if type(ref) is tuple and 0 <= i < len(table.nodes):
            match table.nodes[i]:
                case ("dict", [*flat]) if len(flat) % 2 == 0 and all(type(key) is str for key in flat[::2]):
                    return flat
    raise SchemaError(".state: expected a dict whose keys are texts")
