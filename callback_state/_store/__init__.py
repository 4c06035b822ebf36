"""Two files on a disk that count as one, durably.

A model file and its state file are staged, committed by one rename, recovered after a crash, and deleted. Only
``disk.py`` calls the system. This wing does not know Keras, nor what the files say.
"""
