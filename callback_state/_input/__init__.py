"""How far ``fit`` has read its data, and the way back to there.

Data are entered at a batch, or read again without training; what cannot be brought back is a doubt, which is
written down and told. This wing does not know callbacks, nor when a checkpoint is saved.
"""
