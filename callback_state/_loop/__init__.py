"""A running ``fit``: what happens before and after all callbacks.

One object for each ``fit`` knows where it enters, what it has heard, and how it ends; listeners hear each event
before the first callback or after the last. This wing does not know who listens: neither saving nor resuming.
"""
