"""Models with classes and train steps of their own, for each backend of Keras."""

from __future__ import annotations

from typing import Any

import keras


class Subclassed(keras.Model):
    """A model whose variables Keras finds by its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.drop = keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.3)
        self.out = keras.layers.Dense(1, "sigmoid")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.out(self.drop(self.hidden(x), training=training))


class WithMean(Subclassed):
    """Its train step's logs are not the metrics' names."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = keras.metrics.Mean("mean_output")

    def logs_of(self, x: Any, y: Any, predicted: Any, weights: Any, loss: Any) -> dict[str, Any]:
        self.mean.update_state(predicted)
        logs = self.compute_metrics(x, y, predicted, weights)
        return {**logs, "mean_output": self.mean.result(), "now": loss}


class WithTwo(Subclassed):
    """It has optimizers of its own, which ``compile`` knows nothing of."""

    def loss_of(self, batch: Any) -> Any:
        return keras.ops.mean((self(batch[0], training=True) - keras.ops.reshape(batch[1], (-1, 1))) ** 2)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        super().compile()
        self.first, self.second = keras.optimizers.Adam(0.05), keras.optimizers.SGD(0.05, momentum=0.9)
        self.first.build(self.hidden.trainable_variables)
        self.second.build(self.out.trainable_variables)


def own_models() -> dict[str, Any]:
    """The classes by what they show: those that Keras's backend here can train."""
    found = {"subclass": Subclassed, **_OF[keras.backend.backend()]()}
    return found


def _on_tensorflow() -> dict[str, Any]:
    import tensorflow as tf

    class OwnStep(WithMean):
        def train_step(self, batch: Any) -> Any:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            with tf.GradientTape() as tape:
                predicted = self(x, training=True)
                loss = self.compute_loss(x, y, predicted, weights)
                scaled = self.optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return self.logs_of(x, y, predicted, weights, loss)

    class OwnMetric(Subclassed):
        """A train step with a metric that makes its variables when it sees its first batch."""

        def __init__(self) -> None:
            super().__init__()
            self.f1 = keras.metrics.F1Score(threshold=0.5)

        def train_step(self, batch: Any) -> Any:
            self.f1.update_state(keras.ops.reshape(batch[1], (-1, 1)), self(batch[0]))
            return super().train_step(batch)

    class TwoOptimizers(WithTwo):
        def train_step(self, batch: Any) -> Any:
            with tf.GradientTape(persistent=True) as tape:
                loss = self.loss_of(batch)
            for optimizer, layer in ((self.first, self.hidden), (self.second, self.out)):
                optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
            return {"loss": loss}

    return {"step": OwnStep, "metric": OwnMetric, "optimizers": TwoOptimizers}


def _on_jax() -> dict[str, Any]:
    import jax

    class OwnStep(WithMean):
        def loss_and_updates(self, trained: Any, untrained: Any, x: Any, y: Any, weights: Any, scale: Any) -> Any:
            predicted, untrained = self.stateless_call(trained, untrained, x, training=True)
            loss = self.compute_loss(x, y, predicted, weights)
            return scale(loss), (loss, predicted, untrained)

        def train_step(self, state: Any, batch: Any) -> Any:
            trained, untrained, slots, sums = state
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            with keras.StatelessScope(
                state_mapping=[*zip(self.optimizer.variables, slots, strict=True)]
            ):  # the scale of a loss is a variable of the optimizer
                gradient = jax.grad(self.loss_and_updates, has_aux=True)
                gradients, (loss, predicted, untrained) = gradient(
                    trained, untrained, x, y, weights, self.optimizer.scale_loss
                )
            trained, slots = self.optimizer.stateless_apply(slots, gradients, trained)
            with keras.StatelessScope(state_mapping=[*zip(self.metrics_variables, sums, strict=True)]) as scope:
                logs = self.logs_of(x, y, predicted, weights, loss)
            sums = [scope.get_current_value(variable) for variable in self.metrics_variables]
            return logs, (trained, untrained, slots, sums)

    class TwoOptimizers(WithTwo):
        """What its optimizers know goes through the step as variables that are not trained."""

        @property
        def non_trainable_variables(self) -> Any:
            slots = [*self.first.variables, *self.second.variables] if hasattr(self, "second") else []
            return [*super().non_trainable_variables, *slots]

        def loss_and_updates(self, trained: Any, state: Any, batch: Any) -> Any:
            variables = [*self.trainable_variables, *self.non_trainable_variables]
            with keras.StatelessScope(state_mapping=zip(variables, [*trained, *state], strict=True)) as scope:
                loss = self.loss_of(batch)
            return loss, [scope.get_current_value(variable) for variable in self.non_trainable_variables]

        def train_step(self, state: Any, batch: Any) -> Any:
            trained, untrained, slots, sums = state
            gradient = jax.value_and_grad(self.loss_and_updates, has_aux=True)
            (loss, untrained), gradients = gradient(trained, untrained, batch)
            variables = [*self.trainable_variables, *self.non_trainable_variables]
            with keras.StatelessScope(state_mapping=zip(variables, [*trained, *untrained], strict=True)) as scope:
                hidden = len(self.hidden.trainable_variables)
                self.first.apply(gradients[:hidden], self.hidden.trainable_variables)
                self.second.apply(gradients[hidden:], self.out.trainable_variables)
            values = [scope.get_current_value(variable) for variable in variables]
            return {"loss": loss}, (values[: len(trained)], values[len(trained) :], slots, sums)

    return {"step": OwnStep, "optimizers": TwoOptimizers}


def _on_torch() -> dict[str, Any]:
    import torch

    class OwnStep(WithMean):
        def train_step(self, batch: Any) -> Any:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            self.zero_grad()
            predicted = self(x, training=True)
            loss = self.compute_loss(x, y, predicted, weights)
            self.optimizer.scale_loss(loss).backward()
            with torch.no_grad():
                variables = self.trainable_variables
                self.optimizer.apply([v.value.grad for v in variables], variables)
                return self.logs_of(x, y, predicted, weights, loss)

    class TwoOptimizers(WithTwo):
        def train_step(self, batch: Any) -> Any:
            self.zero_grad()
            loss = self.loss_of(batch)
            loss.backward()
            with torch.no_grad():
                for optimizer, layer in ((self.first, self.hidden), (self.second, self.out)):
                    variables = layer.trainable_variables
                    optimizer.apply([v.value.grad for v in variables], variables)
            return {"loss": loss}

    return {"step": OwnStep, "optimizers": TwoOptimizers}


_OF = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
