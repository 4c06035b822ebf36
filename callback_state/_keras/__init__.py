"""Every place that leans on how Keras and its backends are written.

Each file is about one thing of theirs: the callback list, the epoch iterator, the metrics, the generators, the
weights, the model file. Where a new release no longer fits, it raises an error, and only this wing changes. It
does not know what a checkpoint is, nor when one is saved.
"""
