"""When a checkpoint is saved, and which ones are deleted.

``ModelCheckpointEnhanced`` and its parts: options, decision, ledger, save. This wing does not know how a run is
resumed.
"""

from .._keras.installed import check_installed

check_installed()  # the files of this wing import Keras
