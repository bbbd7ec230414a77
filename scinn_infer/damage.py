"""Whatever libraries trip over in a damaged file, as one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        msg = f"{source} cannot be read; it is truncated or damaged ({reason}). Copy or download it again."
        raise ScinnError(msg) from error
