import keras
import pytest

from callback_state import stateful


@stateful
class InverseTime(keras.callbacks.Callback):
    step = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        self.model.optimizer.learning_rate = 0.1 / self.step


def test_rates(simulate):
    record = simulate(InverseTime(), epochs=2, steps_per_epoch=2)
    assert record.learning_rate == [0.1, 0.05, 0.1 / 3, 0.025]  # each within a millionth: float32 has no 0.1


@pytest.mark.resumes(epochs=3, steps=4)  # interrupted after each of its steps, it goes on exactly
def test_resumes():
    return InverseTime()
