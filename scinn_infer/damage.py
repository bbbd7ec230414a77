"""Whatever libraries trip over in reading a file, as one sentence: it is damaged, or may not be read."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_PERMISSION = (errno.EACCES, errno.EPERM)


@contextmanager
def naming_damage(source: str) -> Iterator[None]:
    """Turn whatever goes wrong in reading a file into one sentence that begins with its name.

    Raises
    ------
    ScinnError
        If the block raises anything but a ``ScinnError`` or a ``MemoryError``, which pass.
    """
    try:
        yield
    except (ScinnError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_PERMISSION:
            raise _not_allowed(source, error) from error
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        msg = f"{source} cannot be read; it is truncated or damaged ({reason}). Copy or download it again."
        raise ScinnError(msg) from error


def _not_allowed(source: str, error: OSError) -> ScinnError:
    """Return how it is told that a file may not be read; of a folder, which of its files."""
    part = f" ({error.filename})" if error.filename and str(error.filename) not in source else ""
    reason = os.strerror(error.errno or 0)  # HDF5's own text runs on
    return ScinnError(f"{source} cannot be read: {reason}{part}. Ask whoever owns it to let you read it.")
