"""A run of aim that is one run over all restarts."""

import keras
from digits import network, train

from callback_state import contrib

keras.utils.set_random_seed(1)
tracker = contrib.aim.callback("ckpt", repo=".", experiment="digits")
train(network(), tracker)
tracker.close()
