"""What a state file says of a run, as dataclasses: checked once, when the file is read.

Whoever can write a file can also seal it, so a seal proves nothing about what the file says. :meth:`Contents.of`
checks all of it, for files that are read and for those that are about to be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .doubt import Doubt
from .names import is_model_file
from .trace import Trace
from .typed import SchemaError, from_plain, to_plain

#: More iterators, and more batches of one iterator, than any run has.
MAX_ITERATORS, MAX_BATCHES = 10**6, 10**10
#: Stored and live callbacks are compared each with each, so the time grows with the square of their number.
MAX_CALLBACKS = 1000
#: More epochs than any run has: one a second for three years.
MAX_EPOCHS = 10**8
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class History:
    """Keras's ``History``: the 0-based epochs, and a list for each series."""

    epochs: list[Any] = field(default_factory=list)
    series: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFacts:
    """What tells whether a model is the one of the checkpoint."""

    digest: str  # of its variables, see _keras/fingerprint.py
    iterations: int  # the steps that its optimizer has made
    variables: list[str]  # a line each: path, shape and dtype
    optimizes: bool  # whether it has an optimizer with variables
    #: How the script has built and compiled it: for each part, such as "layers[1] Dropout", its arguments.
    configuration: dict[str, dict[str, bool | int | float | str | None]] = field(default_factory=dict)


class SavedArgument(NamedTuple):
    """One argument of a callback's constructor."""

    kind: str  # "value", "digest" (the argument was too large) or "opaque" (it is no plain data)
    data: Any  # a scalar or (nodes, root) of a value, a SHA-256, or a description
    place: int | None  # the 0-based index in the by-value section; None where it is not there


@dataclass(frozen=True)
class SavedCallback:
    """One callback, without its state."""

    key: str
    class_: str  # its name
    version: int  # of its state, as given to @stateful
    arguments: dict[str, SavedArgument]  # by the names of the constructor's parameters
    outside: Any = None  # what its adapter has noted of files and other things outside
    # The attributes in its state that hold the very containers that they held when training began.
    in_place: list[str] = field(default_factory=list)
    # Of a ``ModelCheckpointEnhanced``: by name, the SHA-256 (hex) of the model files that it has written.
    files: dict[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is the ``ModelCheckpointEnhanced`` itself, which has saved the others."""
        return self.class_ == "callback_state.ModelCheckpointEnhanced"


class Start(NamedTuple):
    """One start of the script."""

    at: int  # when training began or went on, in nanoseconds since 1970
    epoch: int  # 0-based
    batch: int  # 0-based
    # Of the checkpoint that was resumed: saved_at, and the epoch and batch to go on with. None at the first start.
    from_: int | None
    due_epoch: int | None
    due_batch: int | None
    beside: int  # how many checkpoints of this run were in the directory

    @property
    def due(self) -> tuple[int, int] | None:
        """The epoch and batch to go on with; None at the first start."""
        epoch, batch = self.due_epoch, self.due_batch
        return None if epoch is None or batch is None else (epoch, batch)


@dataclass(frozen=True)
class Meta:
    """What can be shown of a checkpoint without building anything."""

    #: The identity of the run: 32 random hex digits from its first start. Its later starts keep them.
    run_id: str
    saved_at: int  # nanoseconds since 1970, growing along a run
    epoch: int  # the 0-based epoch in or after which it was saved
    batch: int | None  # the 0-based batch after which it was saved; None at the end of an epoch
    epochs: int | None  # the argument of fit; None in a loop of the user's own
    last: bool  # whether it was the last epoch of that fit
    finished: bool  # whether the run had ended
    follows: bool  # whether an earlier fit of the same process had trained this run
    repeats: bool  # whether the fit began with an epoch that such an earlier fit had trained
    goes_on_from: str | None  # at the end of a run, the name of the checkpoint from which a longer run goes on
    exact_end: bool  # whether the end of the run changed nothing
    template: str  # the file name that was given to the checkpoint callback
    monitor: tuple[str, int | float | None]  # the series and its value
    versions: dict[str, str]  # of Python, Keras and others
    training_args: dict[Any, Any]  # what the user gave to the checkpoint callback
    history: History
    model: ModelFacts
    stops: bool  # whether a callback had stopped training
    data: dict[str, Any]  # the data of fit, by what must be the same when the run is resumed
    doubts: list[Doubt]  # why a resumed run may differ
    starts: list[Start]
    trace: Trace
    callbacks: list[SavedCallback] = field(default_factory=list)

    @property
    def initial_epoch(self) -> int:
        """The 0-based epoch with which the run goes on."""
        return self.epoch + (self.batch is None)

    @property
    def first_batch(self) -> int:
        """The 0-based batch of that epoch with which the run goes on."""
        return 0 if self.batch is None else self.batch + 1


@dataclass(frozen=True)
class Place:
    """The place in data that know where they are; ``_input/position.py`` says what is in it."""

    state: Any  # None: it is not known, and the data are read again
    has_ended: bool
    generators: list[Any]
    proof: Any  # None where none is needed


@dataclass(frozen=True)
class SourceState:
    """How far a data source has been read; ``_input/source.py`` says what each number counts."""

    before: int
    made: int
    goes_on: bool
    seen: int
    steps: int
    batches: int | None
    passes: list[int]
    generators: list[dict[str, Any]]
    place: Place


@dataclass(frozen=True)
class DataState:
    """How far ``fit`` has read its data."""

    training: SourceState
    validation: SourceState | None
    attributes: list[dict[str, Any]]
    in_place: list[list[str]]
    drawn_from: list[str]


@dataclass(frozen=True)
class Extra:
    """The variables of a model that its file does not hold, see ``_keras/extra.py``."""

    paths: list[list[str]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    replicas: dict[int, Any] = field(default_factory=dict)
    trained: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What a resumed run needs beside the model and the callbacks."""

    generators: dict[str, Any]  # the global ones
    extra: Extra
    # Inside an epoch: the variables of the metrics, the last logs, and how long it has lasted.
    metrics: list[tuple[str, Any]] = field(default_factory=list)
    logs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    data: DataState | None = None  # None where it is not known how far the data have been read


@dataclass(frozen=True)
class Contents:
    """The part of a state file that is decoded at once."""

    meta: Meta
    run: Run

    @classmethod
    def of(cls, plain: Any) -> Contents:
        """From decoded plain data. Raises SchemaError, which names the part that is wrong."""
        made = from_plain(cls, plain, "")
        _check(made.meta)
        if made.run.data is not None:
            _check_counts(made.run.data)
        return made

    def to_plain(self) -> dict[str, Any]:
        """As plain data, for a file. Raises SchemaError if nobody could read them."""
        plain: dict[str, Any] = to_plain(self)
        Contents.of(plain)
        return plain


def _check(meta: Meta) -> None:
    """What types do not say."""
    if not _RUN_ID.fullmatch(meta.run_id):
        raise SchemaError(f".meta.run_id: expected 32 hex digits, found {meta.run_id!r:.100}")
    for name in ("saved_at", "epoch", "batch", "epochs"):
        if (getattr(meta, name) or 0) < 0:
            raise SchemaError(f".meta.{name} is less than 0")
    for name, number, most in (("epoch", meta.epoch, MAX_EPOCHS), ("batch", meta.batch or 0, MAX_BATCHES)):
        if number > most:
            raise SchemaError(f".meta.{name}: expected at most {most}, found {number}")
    meta.trace.check(".meta.trace")
    if len(meta.trace.numbers) > MAX_CALLBACKS:
        raise SchemaError(f".meta.trace.numbers: more than {MAX_CALLBACKS} callbacks")
    if meta.goes_on_from is not None and not is_model_file(meta.goes_on_from, meta.template):
        raise SchemaError(
            f".meta.goes_on_from: expected the bare name of a model file, found {meta.goes_on_from!r:.100}"
        )
    keys = [callback.key for callback in meta.callbacks]
    if len(set(keys)) != len(keys):
        raise SchemaError(".meta.callbacks: two have one key")
    if len(keys) > MAX_CALLBACKS:
        raise SchemaError(f".meta.callbacks: more than {MAX_CALLBACKS}")
    _check_arguments(meta.callbacks)
    _check_apart(meta.model.configuration.values(), ".meta.model.configuration: two parts share their arguments")


def _check_counts(data: DataState) -> None:
    """A restart makes as many iterators and reads as many batches as the file says."""
    for name, source in (("training", data.training), ("validation", data.validation)):
        if source is None:
            continue
        iterators, batches = [source.before, source.made, *source.passes], [source.seen, source.steps]
        if any(not 0 <= n <= MAX_ITERATORS for n in iterators):
            raise SchemaError(
                f".run.data.{name}: expected 0 to {MAX_ITERATORS} iterators, found {iterators!r:.100}"
            )
        if any(not 0 <= n <= MAX_BATCHES for n in (*batches, source.batches or 0)):
            raise SchemaError(f".run.data.{name}: expected 0 to {MAX_BATCHES} batches, found {batches!r:.100}")


def _check_arguments(callbacks: list[SavedCallback]) -> None:
    _check_apart(callback.arguments for callback in callbacks)
    _check_apart((callback.in_place for callback in callbacks), ".meta.callbacks: two share their in_place")
    arguments = [argument for callback in callbacks for argument in callback.arguments.values()]
    tables = [argument.data for argument in arguments if type(argument.data) is tuple and argument.data]
    _check_apart(data[0] for data in tables if type(data[0]) is list)
    for callback in callbacks:
        for name, digest in callback.files.items():
            if not _DIGEST.fullmatch(digest):
                path = f".meta.callbacks.{callback.key}.files.{name:.100}"
                raise SchemaError(f"{path}: expected a SHA-256 in hex digits, found {digest!r:.100}")
        for name, argument in callback.arguments.items():
            if argument.kind not in ("value", "digest", "opaque"):
                path = f".meta.callbacks.{callback.key}.arguments.{name}"
                raise SchemaError(f"{path}: expected value, digest or opaque, found {argument.kind!r:.100}")


def _check_apart(parts: Iterable[Sized], message: str = ".meta.callbacks: two share their arguments") -> None:
    """Each part is walked for each owner that has it. A file in which many share one would take very long."""
    ids = [id(part) for part in parts if len(part)]
    if len({*ids}) != len(ids):
        raise SchemaError(message)
