"""What a state file says of a run, as dataclasses: checked once, when the file is read.

Whoever can write a file can also seal it, so a seal proves nothing about what the file says. :meth:`Contents.of`
checks all of it, for files that are read and for those that are about to be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .doubt import Doubt
from .typed import SchemaError, from_plain, to_plain

#: Stored and live callbacks are compared each with each, so the time grows with the square of their number.
MAX_CALLBACKS = 1000


@dataclass(frozen=True)
class History:
    """Keras's ``History``: the 0-based epochs, and a list for each series."""

    epochs: list[Any] = field(default_factory=list)
    series: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFacts:
    """What tells whether a model is the one of the checkpoint.

    Attributes:
        digest: of its variables, see ``_keras/fingerprint.py``.
        iterations: the steps that its optimizer has made.
        variables: a line for each variable: path, shape and dtype.
        optimizes: whether it has an optimizer with variables.
    """

    digest: str
    iterations: int
    variables: list[str]
    optimizes: bool


class SavedArgument(NamedTuple):
    """One argument of a callback's constructor.

    Attributes:
        kind: ``"value"``, ``"digest"`` (the argument was too large) or ``"opaque"`` (it is no plain data).
        data: a scalar or (nodes, root) of a value, a SHA-256, or a description.
        place: the 0-based index in the by-value section; None where it is not there.
    """

    kind: str
    data: Any
    place: int | None


@dataclass(frozen=True)
class SavedCallback:
    """One callback, without its state.

    Attributes:
        key: its name within the checkpoint.
        class_: the name of its class.
        version: of its state, as given to ``@stateful``.
        arguments: those of its constructor, by the names of the parameters.
        outside: what its adapter has noted of files and other things outside.
    """

    key: str
    class_: str
    version: int
    arguments: dict[str, SavedArgument]
    outside: Any = None

    @property
    def is_ours(self) -> bool:
        """Whether it is the ``ModelCheckpointEnhanced`` itself, which has saved the others."""
        return self.class_ == "callback_state.ModelCheckpointEnhanced"


@dataclass(frozen=True)
class Start:
    """One start of the script.

    Attributes:
        at: when training began or went on, in nanoseconds since 1970.
        epoch: the 0-based epoch with which it did.
        batch: the 0-based batch.
        from_: ``saved_at`` of the checkpoint that was resumed; None at the first start.
        due: the epoch and batch with which that checkpoint had to go on; None at the first start.
        beside: how many checkpoints of this run were in the directory.
    """

    at: int
    epoch: int
    batch: int
    from_: int | None
    due: tuple[int, int] | None
    beside: int


@dataclass(frozen=True)
class Trace:
    """What stood at the end of each epoch; ``ended_at`` in nanoseconds since 1970."""

    epochs: list[int] = field(default_factory=list)
    learning_rate: list[float | None] = field(default_factory=list)
    ended_at: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Meta:
    """What can be shown of a checkpoint without building anything.

    Attributes:
        saved_at: nanoseconds since 1970, growing along a run.
        epoch: the 0-based epoch in or after which it was saved.
        batch: the 0-based batch after which it was saved; None at the end of an epoch.
        epochs: the argument of ``fit``; None in a loop of the user's own.
        last: whether it was the last epoch of that ``fit``.
        finished: whether the run had ended.
        goes_on_from: at the end of a run, the name of the checkpoint from which a longer run goes on.
        exact_end: whether the end of the run changed nothing.
        template: the file name that was given to the checkpoint callback.
        monitor: the monitored series and its value.
        versions: of Python, Keras and others.
        training_args: what the user gave to the checkpoint callback.
        stops: whether a callback had stopped training.
        data: the data of ``fit``, by what must be the same when the run is resumed.
        doubts: why a resumed run may differ.
    """

    saved_at: int
    epoch: int
    batch: int | None
    epochs: int | None
    last: bool
    finished: bool
    goes_on_from: str | None
    exact_end: bool
    template: str
    monitor: tuple[str, int | float | None]
    versions: dict[str, str]
    training_args: dict[Any, Any]
    history: History
    model: ModelFacts
    stops: bool
    data: dict[str, Any]
    doubts: list[Doubt]
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


@dataclass(frozen=True)
class DataState:
    """How far ``fit`` has read its data."""

    training: SourceState
    validation: SourceState | None
    attributes: list[dict[str, Any]]
    drawn_from: list[str]


@dataclass(frozen=True)
class Seeds:
    """The variables of a model that no Keras file holds, see ``_keras/weights.py``."""

    seeds: list[Any] = field(default_factory=list)
    replicas: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What a resumed run needs beside the model and the callbacks.

    Attributes:
        generators: the global generators.
        seeds: the model's own.
        metrics: inside an epoch, the metrics' variables.
        logs: inside an epoch, the last logs.
        seconds: inside an epoch, how long it has lasted.
        data: how far the data have been read; None where that is not known.
    """

    generators: dict[str, Any]
    seeds: Seeds
    metrics: list[tuple[Any, ...]] = field(default_factory=list)
    logs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    data: DataState | None = None


@dataclass(frozen=True)
class Contents:
    """The part of a state file that is decoded at once."""

    meta: Meta
    run: Run

    @classmethod
    def of(cls, plain: Any) -> Contents:
        """From decoded plain data.

        Raises:
            SchemaError: no release of this package wrote them; the message says which part is wrong.
        """
        made = from_plain(cls, plain, "")
        _check(made.meta)
        return made

    def to_plain(self) -> dict[str, Any]:
        """As plain data, for a file.

        Raises:
            SchemaError: nobody could read them.
        """
        plain: dict[str, Any] = to_plain(self)
        Contents.of(plain)
        return plain


def _check(meta: Meta) -> None:
    """What types do not say."""
    for name in ("saved_at", "epoch", "batch", "epochs"):
        if (getattr(meta, name) or 0) < 0:
            raise SchemaError(f".meta.{name} is less than 0")
    if len({*map(len, vars(meta.trace).values())}) > 1:
        raise SchemaError(".meta.trace: its lists differ in length")
    if any(part in (meta.goes_on_from or "") for part in ("/", "\\")):
        raise SchemaError(".meta.goes_on_from names a file in another directory")
    keys = [callback.key for callback in meta.callbacks]
    if len(set(keys)) != len(keys):
        raise SchemaError(".meta.callbacks: two have one key")
    if len(keys) > MAX_CALLBACKS:
        raise SchemaError(f".meta.callbacks: more than {MAX_CALLBACKS}")
    _check_arguments(meta.callbacks)


def _check_arguments(callbacks: list[SavedCallback]) -> None:
    _check_apart(callback.arguments for callback in callbacks)
    arguments = [argument for callback in callbacks for argument in callback.arguments.values()]
    tables = [argument.data for argument in arguments if type(argument.data) is tuple and argument.data]
    _check_apart(data[0] for data in tables if type(data[0]) is list)
    for callback in callbacks:
        for name, argument in callback.arguments.items():
            if argument.kind not in ("value", "digest", "opaque"):
                path = f".meta.callbacks.{callback.key}.arguments.{name}"
                raise SchemaError(f"{path}: expected value, digest or opaque, found {argument.kind!r:.100}")


def _check_apart(parts: Iterable[Sized]) -> None:
    """Each part is walked for each callback that has it. A file in which many share one would take very long."""
    ids = [id(part) for part in parts if len(part)]
    if len({*ids}) != len(ids):
        raise SchemaError(".meta.callbacks: two share their arguments")
