import keras
import pytest

from callback_state import stateful


@stateful
class Warmup(keras.callbacks.Callback):
    def __init__(self, peak, steps):
        super().__init__()
        self.peak, self.steps, self.step = peak, steps, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        self.model.optimizer.learning_rate = self.peak * min(1, self.step / self.steps)


def test_rates(simulate):
    assert simulate(Warmup(0.5, 4), epochs=2, steps_per_epoch=2).learning_rate == [0.125, 0.25, 0.375, 0.5]


@pytest.mark.resumes(epochs=3, steps=4)  # interrupted after each step, it goes on exactly
def test_resumes():
    return Warmup(0.5, 4)
