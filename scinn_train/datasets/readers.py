"""One reader per upstream form: from verified files to plain arrays.

The files are pinned by SHA-256, so a reader states what is in them and checks nothing twice. What belongs to a cell is
looked up by the cell's name wherever upstream gives one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Reading:
    """What the files of one dataset hold.

    Attributes
    ----------
    expression
        The matrix (cells × genes), dense or sparse, in the unit that the catalogue states.
    cells, genes
        Their names.
    labels
        What each cell is (cells,).
    batches
        Which batch it comes from (cells,), or None.
    reference
        What ``expression`` was down-sampled from (cells × genes), or None.
    """

    expression: Any
    cells: Iterable[str]
    genes: Iterable[str]
    labels: Iterable[str]
    batches: Iterable[str] | None = None
    reference: Any = None


Reader = Callable[[Sequence[Path]], Reading]


def read_yan(paths: Sequence[Path]) -> Reading:
    """Read two R data frames: ``yan`` (genes × cells) and ``ann``."""
    objects = _r_objects(paths[0])
    expression, annotation = objects["yan"], objects["ann"]
    return Reading(
        expression=expression.to_numpy().T,
        cells=expression.columns,
        genes=expression.index,
        labels=annotation.loc[expression.columns, "cell_type1"],
    )


def read_goolam(paths: Sequence[Path]) -> Reading:
    """Read an R list: ``data`` (genes × cells) and ``label``, in the order of the cells."""
    goolam = _r_objects(paths[0])["Goolam"]
    genes, cells = _dimension_names(goolam["data"])
    return Reading(expression=goolam["data"].values.T, cells=cells, genes=genes, labels=goolam["label"])


def read_camp(paths: Sequence[Path]) -> Reading:
    """Read an R list: ``counts`` (cells × genes) and ``cell.info``; a cell's name ends in its chip."""
    camp = _r_objects(paths[0])["camp"]
    cells, genes = _dimension_names(camp["counts"])
    return Reading(
        expression=camp["counts"].values,
        cells=cells,
        genes=genes,
        labels=camp["cell.info"].set_index("cell.id").loc[cells, "cell.type"],
        batches=[cell.partition("_")[2] for cell in cells],
    )


def read_klein(paths: Sequence[Path]) -> Reading:
    """Read a CSV (genes × cells), and a text file with one day a line in the order of the cells."""
    import pandas as pd

    profile, labels = paths
    expression = pd.read_csv(profile, index_col=0)
    return Reading(
        expression=expression.to_numpy().T,
        cells=expression.columns,
        genes=expression.index,
        labels=[f"d{day}" for day in labels.read_text(encoding="ascii").split()],
    )


def read_romanov(paths: Sequence[Path]) -> Reading:
    """Read a Seurat object: the counts of its RNA assay and its ``meta.data``."""
    seurat = _r_objects(paths[0])["query_romanov"]
    counts = seurat.assays["RNA"].counts
    genes, cells = counts.Dimnames
    about = vars(seurat)["meta.data"].loc[cells]
    return Reading(
        # R's compressed columns of genes × cells are the compressed rows of cells × genes.
        expression=sp.csr_matrix((counts.x, counts.i, counts.p), shape=(len(cells), len(genes))),
        cells=cells,
        genes=genes,
        labels=[cell_type.partition("_")[0] for cell_type in about["Author_CellType"]],
        batches=about["Sample_ID"],
    )


def read_baron(paths: Sequence[Path]) -> Reading:
    """Read a zipped CSV (cells × genes) with two more columns, ``label`` and ``sampleID``."""
    import pandas as pd

    table = pd.read_csv(paths[0], index_col=0)
    expression = table.drop(columns=["label", "sampleID"])
    return Reading(
        expression=expression.to_numpy(),
        cells=expression.index,
        genes=expression.columns,
        labels=table["label"],
        batches=[f"human{donor}" for donor in table["sampleID"]],
    )


def read_bladder(paths: Sequence[Path]) -> Reading:
    """Read an HDF5 file: ``X`` (cells × genes) and the number of each cell's type, ``Y``; nothing has a name."""
    import h5py

    with h5py.File(paths[0], "r") as file:
        expression, types = file["X"][:], file["Y"][:]
    return Reading(
        expression=expression,
        cells=[f"cell{row}" for row in range(expression.shape[0])],
        genes=[f"g{column}" for column in range(expression.shape[1])],
        labels=[f"c{int(number)}" for number in types],
    )


def read_scmix(paths: Sequence[Path]) -> Reading:
    """Read counts (genes × cells) and metadata of each plate: genotyped singlets, genes common to all plates."""
    import pandas as pd

    counts, singlets = [], []
    for counts_path, about_path in zip(paths[::2], paths[1::2], strict=True):
        about = pd.read_csv(about_path, index_col=0)
        singlets.append(about[about["demuxlet_cls"] == "SNG"])
        counts.append(pd.read_csv(counts_path, index_col=0)[singlets[-1].index])
    expression = pd.concat(counts, axis="columns", join="inner").sort_index()
    cells = pd.concat(singlets)
    # Upstream names the cells of every plate p1_<well>; only the metadata tell the plates apart.
    plates = [batch.rpartition("_")[2] for batch in cells["batch"]]
    wells = [name.partition("_")[2] for name in cells.index]
    return Reading(
        expression=expression.to_numpy().T,
        cells=[f"{plate}_{well}" for plate, well in zip(plates, wells, strict=True)],
        genes=expression.index,
        labels=cells["cell_line_demuxlet"],
        batches=plates,
    )


def read_downsampled(paths: Sequence[Path]) -> Reading:
    """Read an R list: ``count.samp`` and ``count.ref`` (genes × cells), the same cells in the same order."""
    (counts,) = _r_objects(paths[0]).values()
    # Down-sampling appended a number to the names of Baron's cells: the reference has their own.
    genes, cells = _dimension_names(counts["count.ref"])
    return Reading(
        expression=counts["count.samp"].values.T,
        cells=cells,
        genes=genes,
        labels=["na"] * len(cells),
        reference=counts["count.ref"].values.T,
    )


_CLASSES_AS_STORED = ("Assay", "Neighbor", "POSIXct", "Seurat", "SeuratCommand", "dgCMatrix", "package_version")
"""R classes that rdata has no constructor for, and whose bare slots are what is wanted."""


def _r_objects(path: Path) -> dict[str, Any]:
    """Return the objects of an .rda file by name."""
    import rdata

    as_stored = dict.fromkeys(_CLASSES_AS_STORED, lambda slots, _attributes: slots)
    objects: dict[str, Any] = rdata.read_rda(path, constructor_dict=rdata.conversion.DEFAULT_CLASS_MAP | as_stored)
    return objects


def _dimension_names(matrix: Any) -> tuple[list[str], list[str]]:
    """Return the row and the column names of an R matrix."""
    rows, columns = (matrix.coords[dimension].values.tolist() for dimension in matrix.dims)
    return rows, columns
