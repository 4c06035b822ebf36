"""Adapters for wandb, mlflow and others: one run over all restarts.

Each module is for one library, and imports it only when it is used. Its ``register()`` describes the callbacks of
the library. Its other function opens the run of the checkpoint again, or a new run at a first start. Nothing in
this package imports these modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from . import aim, comet, mlflow, optuna, tqdm, wandb

__all__ = ["aim", "comet", "mlflow", "optuna", "tqdm", "wandb"]

__getattr__, __dir__ = lazily(__name__, dict.fromkeys(__all__, ""))
