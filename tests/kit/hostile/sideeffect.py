"""A module whose mere import can be seen."""

from . import victim

NAME = "a name"
victim.fire("imported")
