"""What a checkpoint says, which are there, which is the newest.

A state file becomes a snapshot with checked fields; a directory becomes a list. This is all that the command
line needs, so this wing loads neither Keras nor NumPy, and does not know live callbacks or models.
"""
