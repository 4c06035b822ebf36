"""What the processes of one training do together at a save: agree when, and bring all their state into one file.

The first process writes a checkpoint alone. Its state file has a part for each other process: the generators of
that process, how far it has read its data, and its callbacks, unless they are as those of the first. So there is
one commit, and a checkpoint counts only with the state of all.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .._callbacks import taken
from .._callbacks.capture import keyed
from .._callbacks.in_place import Held
from .._callbacks.taken import Taken
from .._checkpoints.schema import Extra, History, Meta, Run
from .._checkpoints.trace import Trace
from .._format.pickles import dump
from .._keras import hosts
from .._keras.stock_callbacks import acts_once
from ..exceptions import HostError
from .decision import Event

#: The largest part of the time that the processes may spend to agree about batches.
SHARE = 0.01


def check_lengths(params: Mapping[str, Any] | None) -> None:
    """Raises HostError if the processes have different epochs: each would wait for the others for ever."""
    if hosts.count() == 1:
        return
    own = [(params or {}).get(name) for name in ("epochs", "steps")]
    told = [json.loads(said) for said in hosts.gather(json.dumps(own).encode(), "the length of an epoch")]
    for name, values in zip(("epochs", "batches in an epoch"), zip(*told, strict=True), strict=True):
        if len({*values} - {None}) > 1:
            said = ", ".join(f"process {number} has {value}" for number, value in enumerate(values))
            raise HostError(
                f"expected the same number of {name} on each process of this training, found: {said}. Each would "
                f"wait for the others for ever. Divide the data evenly, or pass the same steps_per_epoch= to fit"
            )


def take(
    callbacks: list[Any], model: Any, meta: Meta, run: Run, held: Held | None, variables: list[Any] | None = None
) -> Taken:
    """:func:`.taken.take`, with the parts of the other processes, which bring theirs now."""
    variables = variables or []
    own = hosts.each(
        lambda: taken.take(callbacks, model, meta, run, held, variables), "the state of the callbacks"
    )
    if hosts.count() == 1:
        return own
    digests = hosts.gather(_digest_of(callbacks, model, own.meta), "the digest of the state")
    is_as_first = digests[hosts.index()] == digests[0]

    def part() -> bytes:
        # Large arrays are in the part itself: only the first process writes files of them.
        shown = [] if is_as_first else callbacks
        return taken.take(shown, model, _bare(meta), _bare_run(run), held, apart=False).sealed(bytes(32), 0)

    made = hosts.each(lambda: b"" if hosts.is_first() else part(), "a part of the state")
    return own.with_parts(hosts.gather(made, "the parts of the state")[1:])


def _digest_of(callbacks: list[Any], model: Any, meta: Meta) -> bytes:
    """A digest of the callbacks that act on every process, which is another one if they differ."""
    acting = [callback for callback in callbacks if not acts_once(callback)]
    state, keys = taken.take_state(acting, model), keyed(callbacks)
    sha = hashlib.sha256(dump([state.table.nodes, state.table.root, state.pickles]))
    for block in state.arrays:
        sha.update(block.digest)
    known = {key for key, callback in keys.items() if not acts_once(callback)}
    sha.update(repr([(c.key, c.in_place, c.outside) for c in meta.callbacks if c.key in known]).encode())
    return sha.digest()


def _bare(meta: Meta) -> Meta:
    """What a part says of the run: nothing that the first process says too."""
    model = replace(meta.model, variables=[], configuration={})
    return replace(
        meta, history=History(), model=model, training_args={}, data={}, doubts=[], starts=[], trace=Trace()
    )


def _bare_run(run: Run) -> Run:
    return Run(generators=run.generators, extra=Extra(), data=run.data)


class Pulse:
    """When the processes of one ``fit`` ask each other whether a signal has come, or the time to save.

    That takes a while. So they do it after each epoch, and between batches as seldom as takes a hundredth of the
    time.
    """

    def __init__(self) -> None:
        self._batches = self._left = 1
        self._ended = time.monotonic()  # the last exchange
        self._shortest = math.inf  # seconds of an exchange; JAX compiles in the first one

    def asks(
        self, checkpoint: Any, event: Event | None, running: Any, is_time: Callable[[], bool]
    ) -> Callable[[], bool]:
        """Hear whether a signal has come; return what tells, by the clock of the first, whether to save."""
        if hosts.count() == 1:
            return is_time
        if event is None or (checkpoint.save_every is None and not checkpoint.save_on_signal):
            return lambda: False
        self._left -= 1
        if event.batch is not None and self._left > 0:
            return lambda: False
        began = time.monotonic()
        batch = (began - self._ended) / max(1, self._batches - self._left)
        rest = self._shortest / SHARE
        says, self._batches = hosts.first(
            lambda: [is_time(), 1 if rest == math.inf else max(1, math.ceil(rest / batch))], "the clock"
        )
        if running is not None:
            running.hear_signals()
        self._left, self._ended = self._batches, time.monotonic()
        self._shortest = min(self._shortest, self._ended - began)
        return lambda: bool(says)


def name_after(checkpoint: Any, event: Event) -> str | None:
    """The name of the regular save that is due after an event. Of several processes the first decides."""
    name: str | None = checkpoint.ask(event)
    if hosts.count() > 1 and (name is not None or event.batch is None):
        best = None if checkpoint.best is None else float(checkpoint.best)
        name, checkpoint.best = hosts.first(lambda: [name, best], "what is due")
    return name
