"""A run of wandb that is one run over all restarts."""

import keras
from digits import network, train
from wandb.integration.keras import WandbMetricsLogger

from callback_state import contrib

keras.utils.set_random_seed(1)
with contrib.wandb.init("ckpt", project="digits"):
    train(network(), WandbMetricsLogger())
