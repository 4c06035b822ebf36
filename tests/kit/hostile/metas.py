"""What a state file says of its run and its callbacks, and that would do harm if it were believed."""

from __future__ import annotations

from typing import Any

from .files import described, value
from .tables import Raw, Ref
from .values import PRIME

OWN = "callback_state.ModelCheckpointEnhanced"
CSV, SCHEDULE = "keras.callbacks.CSVLogger", "keras.callbacks.LearningRateScheduler"
BOARD = "keras.callbacks.TensorBoard"
OUTSIDE = "/etc/passwd"


def one(cls: str, **arguments: Any) -> dict[str, Any]:
    return {"callbacks": [described(cls, **arguments)]}


def plain(data: Any) -> tuple[Any, ...]:
    return ("value", data, None)


#: Parts of ``meta`` that no release of this package wrote: refused by every reader.
FORGED: dict[str, dict[str, Any]] = {
    "goes-on-from-above": {"goes_on_from": "../other.keras"},
    "goes-on-from-anywhere": {"goes_on_from": "/etc/other.keras"},
    "goes-on-from-a-share": {"goes_on_from": "\\\\host\\other.keras"},
    "monitor-of-three": {"monitor": ("a", 1.0, 2.0)},
    "training_args-of-a-class": {"training_args": Raw("object", "os.system", [])},
    "epoch-in-words": {"epoch": "many"},
    "history-of-numbers": {"history": {"epochs": [], "series": {1: []}}},
    "callbacks-of-numbers": {"callbacks": {"a": 1}},
    "two-of-one-key": {"callbacks": [described(CSV, "a"), described(SCHEDULE, "a")]},
    "argument-of-another-kind": one(CSV, filename=("code", "x", None)),
    "model-of-nothing": {"model": None},
    "arguments-shared-by-two": (
        lambda shared: {
            "callbacks": [
                {**described(CSV, "a"), "arguments": shared},
                {**described(CSV, "b"), "arguments": shared},
            ]
        }
    )({"x": plain(1)}),
}

#: Callbacks that are not made from a file without trust.
NOT_REBUILT: dict[str, dict[str, Any]] = {
    "class-of-the-system": one("os.system"),
    "class-without-module": one("system"),
    "class-of-keras-that-is-no-callback": one("keras.layers.Lambda"),
    "class-of-keras-by-another-module": one("keras.src.callbacks.csv_logger.CSVLogger"),
    "base-class-of-keras": one("keras.callbacks.Callback"),
    "dots-in-keras": one("keras.callbacks.callbacks.CSVLogger"),
    "url-as-class": one("http://host/C"),
    "schedule-of-a-name": one(SCHEDULE, schedule=plain("os.system")),
    "schedule-by-value": one(SCHEDULE, schedule=("opaque", "function f", 0)),
    "function-for-a-lambda": one("keras.callbacks.LambdaCallback", on_epoch_end=("opaque", "function f", 0)),
    "log-anywhere": one(CSV, filename=plain(OUTSIDE)),
    "log-above": one(CSV, filename=plain("../log.csv")),
    "log-as-a-path": one(CSV, filename=value(Raw("Path", OUTSIDE))),
    "log-as-a-text-of-numpy": one(CSV, filename=value(Raw("str_", OUTSIDE))),
    "log-as-an-array": one(
        CSV, filename=value(Raw("array", "<U11", Ref(()), "C", OUTSIDE.encode("utf-32-le"), True))
    ),
    "log-in-a-list": one(CSV, filename=value([OUTSIDE])),
    "events-anywhere": one(BOARD, log_dir=plain("/tmp/x")),
    "backup-anywhere": one("keras.callbacks.BackupAndRestore", backup_dir=plain("/tmp/x")),
    "url-of-a-monitor": one("keras.callbacks.RemoteMonitor", root=plain("http://host")),
    "headers-of-a-monitor": one("keras.callbacks.RemoteMonitor", headers=value({"x": "http://host"})),
    "embeddings-of-a-path": one(BOARD, embeddings_metadata=value({"layer": Raw("str_", "/etc/passwd")})),
    "drive-of-windows": one("keras.callbacks.EarlyStopping", monitor=plain("C:/x")),
    "parameter-of-nobody": one("keras.callbacks.TerminateOnNaN", __class__=plain(1)),
    "argument-of-a-class": one("keras.callbacks.EarlyStopping", monitor=value(Raw("object", "os.system", []))),
    "argument-of-code": one("keras.callbacks.EarlyStopping", monitor=value(Raw("code", 0, "f", "x"))),
    "argument-of-a-long-reference": one(
        "keras.callbacks.EarlyStopping", monitor=("value", ([("list", [(1 << 99_999,)])], (0,)), None)
    ),
    "own-path-above": one(OWN, filepath=plain("x/..")),
    "own-path-of-code": one(OWN, filepath=("opaque", "f", 0)),
    "own-path-by-attributes": one(OWN, filepath=plain("{epoch.__class__.__mro__}.keras")),
    "own-path-of-an-exabyte": one(OWN, filepath=plain("{epoch:1000000000000d}.keras")),
}

#: States of callbacks that are refused by the callback which they are put into, an EarlyStopping or a Probe.
STATES: dict[str, Any] = {
    **{
        f"attribute-{name}": {name: 1}
        for name in (
            "__class__",
            "__dict__",
            "__setstate__",
            "__reduce__",
            "__init__",
            "_model",
            "params",
            "set_model",
            "on_epoch_end",
            "on_train_begin",
            "set_params",
            "_callback_state_mark",
            "validation_data",
            "model",
        )
    },
    "attribute-of-a-number": Raw("dict", [1, 1]),
    "attribute-of-a-tuple": Raw("dict", [Ref((1,)), 1]),
    "colliding-attributes": Raw("dict", [x for i in range(5_000) for x in (i * PRIME, None)]),
    "state-of-a-list": [1],
    "state-of-a-long-reference": Raw("dict", ["x", (1 << 99_999,)]),
    "state-of-code": {"x": Raw("code", 0, "os.system", "Probe.x")},
    "state-of-a-value": {"x": Raw("value", 0, "os.system", "Probe.x")},
    "state-of-a-variable": {"x": Raw("variable", 1, None, "os.system")},
    "state-of-a-class": {"x": Raw("object", "os.system", ["y", 1])},
    "state-of-a-callback": {"x": Raw("callback", "os.system", ["y", 1])},
}
