"""What a result adds to a copy of its input, whatever file it is written to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scinn_infer.cell_quality import QualityRecorder
    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.outputs.extent import Extent


@dataclass(frozen=True, kw_only=True, eq=False)
class Addition:
    """``layers[key]``, if there is to be one, ``uns[key]``, and the quality of the cells.

    Attributes
    ----------
    key
        Name of the layer and of its record in ``uns``; not taken.
    extent
        What is written of the layer.
    provenance
        How the layer was made: the record in ``uns``.
    columns, recorder
        Where in an HDF5 file the quality of the cells goes, and what is told it while the blocks are made; None leaves
        it out.
    """

    key: str
    extent: Extent
    provenance: Mapping[str, Any]
    columns: CellColumns | None = None
    recorder: QualityRecorder | None = None

    def write_record(self, root: Any) -> None:
        """Write the record into a file or store of anndata's, with the groups that it and the layer belong in."""
        from anndata.io import write_elem

        for group in ("layers", "uns"):
            if group not in root:
                write_elem(root, group, {})
        write_elem(root["uns"], self.key, dict(self.provenance))
