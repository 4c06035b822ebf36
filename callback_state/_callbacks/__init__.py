"""What of a callback is state, and how it comes back.

The state of a live callback becomes plain data; stored data are prepared for live callbacks, then put in all at
once. This wing does not know in which run, or when, that happens.
"""
