"""From a checkpoint back into ``fit``.

Finds what was saved, matches it with the callbacks and the model of now, checks them, and puts everything back
when ``fit`` begins. Nothing but the public names stands above this wing.
"""

from .._keras.installed import check_installed

check_installed()  # the files of this wing import Keras
