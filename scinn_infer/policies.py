"""The policies: what becomes of a batch's entries in the genes that the model knows. A caller names one.

The genes that it does not know are returned as they are under each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scinn_infer.contract import OUTPUT_DENOISED, OUTPUT_EXPECTED, OUTPUT_IMPUTED
from scinn_infer.errors import ScinnError
from scinn_infer.formats import outputs_of

if TYPE_CHECKING:
    from scinn_infer.contract import ModelInfo


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One of the policies.

    Attributes
    ----------
    outputs
        The model's output that is taken: the first of these that files of its format have.
    keeps_nonzeros
        Whether entries that are not zero come back bit for bit.
    meaning
        What becomes of the entries, in words.
    caution
        What the result must not be taken for.
    """

    outputs: tuple[str, ...]
    keeps_nonzeros: bool
    meaning: str
    caution: str

    def output_of(self, info: ModelInfo) -> str:
        """Return the name of the output to take of a model."""
        return next(name for name in self.outputs if name in outputs_of(info))


KEEP = "keep"
DENOISE = "denoise"

_TESTS = "do statistical tests, of differential expression for one, on the counts as they were."

POLICIES = {
    KEEP: Policy(
        outputs=(OUTPUT_IMPUTED,),
        keeps_nonzeros=True,
        meaning="non-zero values are kept bit for bit, zeros are filled",
        caution=f"Filled values are predictions, not observations: {_TESTS}",
    ),
    DENOISE: Policy(
        outputs=(OUTPUT_DENOISED, OUTPUT_EXPECTED),
        keeps_nonzeros=False,
        meaning="every value in the genes that the model knows is replaced by the model's, those observed too",
        caution=f"All values in these genes are predictions, none is an observation: {_TESTS}",
    ),
}
"""By the names that callers and records have for them."""


def find_policy(name: str) -> Policy:
    """Return the policy of that name.

    Raises
    ------
    ScinnError
        If there is none.
    """
    if name not in POLICIES:
        msg = f"policy is {name!r}; it is {' or '.join(map(repr, POLICIES))}."
        raise ScinnError(msg)
    return POLICIES[name]
