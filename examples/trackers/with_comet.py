"""An experiment of Comet that is one experiment over all restarts; here without a server."""

import comet_ml
import keras
from digits import network, train

from callback_state import contrib

keras.utils.set_random_seed(1)
config = comet_ml.ExperimentConfig(offline_directory="comet", auto_metric_step_rate=1)
experiment = contrib.comet.start("ckpt", project_name="digits", online=False, experiment_config=config)
train(network(), experiment.get_callback("keras"))
experiment.end()
