"""What the package asks of the backend that runs Keras: one file for each backend behind one small class.

:mod:`.base` says what is asked; :mod:`..backend` says which one answers.
"""
