"""Bars of tqdm that go on where they were."""

import keras
from digits import network, train
from tqdm.keras import TqdmCallback

from callback_state import contrib

contrib.tqdm.register()
keras.utils.set_random_seed(1)
train(network(), TqdmCallback(mininterval=0))
