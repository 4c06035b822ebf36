"""Checkpoints in an object store, by way of a near copy: a directory on this machine that has what the store has.

All other code works on the near copy as on any directory. So the reading rule, recovery and retention are the
same. What is committed here is then put into the store, in an order that leaves a whole checkpoint there at every
instant.
"""
