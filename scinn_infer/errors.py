"""The one exception that scINN raises on purpose, and the one warning that it gives."""

from __future__ import annotations


class ScinnError(ValueError):
    """Bad input, an unusable file or a model that does not fit: the message says what, where and what to do.

    Everything that ``scinn_infer`` and ``scinn_train`` refuse is a ``ScinnError``, so one ``except`` is enough. It is a
    ``ValueError``, as callers of numerical libraries expect.
    """


class RoomError(ScinnError):
    """What was to be written found no place, which says nothing of the batch that was read."""


class ScinnWarning(UserWarning):
    """The data can be used, but something about it deserves a look: the message says what, where and what to do."""
