"""One batch written by hand in every format, in the layouts that their makers publish."""

from __future__ import annotations

import csv
import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

import scinn_infer
from scinn_infer.inputs import open_matrix

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"
GENES = [f"GENE{number}" for number in range(1, 61)]


@dataclass
class Batch:
    """What every format is to hold."""

    X: np.ndarray
    genes: list[str]
    cells: list[str]

    @property
    def ids(self) -> list[str]:
        return [f"ENSG{number:011d}" for number in range(1, len(self.genes) + 1)]

    @property
    def types(self) -> list[str]:
        return ["Gene Expression"] * len(self.genes)

    def adata(self, storage=sparse.csr_matrix) -> anndata.AnnData:
        obs, var = pd.DataFrame(index=self.cells), pd.DataFrame({"gene_ids": self.ids}, index=self.genes)
        return anndata.AnnData(storage(self.X), obs=obs, var=var)


def barcodes(count: int) -> list[str]:
    letters = "ACGT"
    return ["".join(letters[(number >> 2 * place) % 4] for place in range(16)) + "-1" for number in range(count)]


def make_batch(cells: int = 130, *, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    mean = np.array(scinn_infer.load(TINY).info.training_data.gene_mean)
    X = random.poisson(mean * random.gamma(8, 0.125, (cells, 1)).clip(0.2)).astype(np.float32)
    return Batch(X, list(GENES), barcodes(cells))


def h5ad(folder: Path, batch: Batch) -> Path:
    batch.adata().write_h5ad(folder / "new.h5ad")
    return folder / "new.h5ad"


def zarr_store(storage, zarr_format):
    def write(folder: Path, batch: Batch) -> Path:
        with anndata.settings.override(zarr_write_format=zarr_format):
            batch.adata(storage).write_zarr(folder / "new.zarr")
        return folder / "new.zarr"

    return write


def zarr_zip(folder: Path, batch: Batch, inside: str = "") -> Path:
    store = zarr_store(sparse.csr_matrix, 2)(folder, batch)
    with zipfile.ZipFile(folder / "new.zip", "w") as archive:
        for file in sorted(store.rglob("*")):
            archive.write(file, inside + str(file.relative_to(store)))
    return folder / "new.zip"


def _csc(group: h5py.Group, batch: Batch) -> None:
    """Genes × cells by columns, as Cell Ranger stores them."""
    whole = np.isfinite(batch.X).all()
    stored = sparse.csc_matrix(batch.X.T.astype(np.int32) if whole else batch.X.T)
    group["data"], group["indices"] = stored.data, stored.indices.astype(np.int64)
    group["indptr"], group["shape"] = stored.indptr.astype(np.int64), np.array(stored.shape, np.int32)
    group["barcodes"] = np.array(batch.cells, "S18")


def tenx_2(folder: Path, batch: Batch, genomes=("GRCh38",)) -> Path:
    with h5py.File(folder / "new.h5", "w") as file:
        for genome in genomes:
            group = file.create_group(genome)
            _csc(group, batch)
            group["genes"], group["gene_names"] = np.array(batch.ids, "S"), np.array(batch.genes, "S")
    return folder / "new.h5"


def tenx_3(folder: Path, batch: Batch, types=None) -> Path:
    with h5py.File(folder / "new.h5", "w") as file:
        group = file.create_group("matrix")
        _csc(group, batch)
        features = group.create_group("features")
        features["id"], features["name"] = np.array(batch.ids, "S"), np.array(batch.genes, "S")
        features["feature_type"] = np.array(types or batch.types, "S")
        features["genome"] = np.array(["GRCh38"] * len(batch.genes), "S")
        features["_all_tag_keys"] = np.array(["genome"], "S")
    return folder / "new.h5"


def write_text(path: Path, lines, *, compress: bool) -> Path:
    content = "".join(f"{line}\n" for line in lines).encode()
    path = path.with_name(path.name + ".gz") if compress else path
    path.write_bytes(gzip.compress(content) if compress else content)
    return path


def mtx(version: int, *, compress: bool, order=None, prefix: str = "", kind: str = "integer", types=None):
    def write(folder: Path, batch: Batch) -> Path:
        folder = folder / "mtx"
        folder.mkdir()
        cell, gene = np.nonzero(batch.X)
        entries = [f"{g + 1} {c + 1} {batch.X[c, g]:g}" for c, g in zip(cell, gene, strict=True)]
        if order is not None:
            entries = [entries[position] for position in order(len(entries))]
        header = [f"%%MatrixMarket matrix coordinate {kind} general", '%metadata_json: {"format_version": 2}']
        sizes = f"{len(batch.genes)} {len(batch.cells)} {len(entries)}"
        columns = [batch.ids, batch.genes] + ([types or batch.types] if version == 3 else [])
        names = ["\t".join(fields) for fields in zip(*columns, strict=True)]
        write_text(folder / f"{prefix}matrix.mtx", [*header, sizes, *entries], compress=compress)
        write_text(folder / f"{prefix}barcodes.tsv", batch.cells, compress=compress)
        write_text(folder / f"{prefix}{'features' if version == 3 else 'genes'}.tsv", names, compress=compress)
        return folder

    return write


def loom(chunks):
    def write(folder: Path, batch: Batch) -> Path:
        with h5py.File(folder / "new.loom", "w") as file:
            file.attrs["LOOM_SPEC_VERSION"] = "3.0.0"
            file.create_dataset("matrix", data=batch.X.T, chunks=chunks, compression="gzip" if chunks else None)
            file.create_group("layers").create_dataset("spliced", data=batch.X.T)
            file["row_attrs/Gene"] = np.array(batch.genes, object)
            file["row_attrs/Accession"] = np.array(batch.ids, object)
            file["row_attrs/Number"] = np.arange(len(batch.genes))
            file["col_attrs/CellID"] = np.array(batch.cells, object)
        return folder / "new.loom"

    return write


def table(*, delimiter: str = ",", transpose: bool = False, corner: bool = True, quote: bool = False, suffix="csv"):
    def write(folder: Path, batch: Batch) -> Path:
        rows, columns = (batch.genes, batch.cells) if transpose else (batch.cells, batch.genes)
        X = batch.X.T if transpose else batch.X
        path = folder / f"new.{suffix}"
        with gzip.open(path, "wt", newline="") if suffix.endswith("gz") else path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC if quote else csv.QUOTE_MINIMAL)
            writer.writerow(([""] if corner else []) + columns)
            writer.writerows(
                [name, *map(float if quote else "{:g}".format, row)] for name, row in zip(rows, X, strict=True)
            )
        return path

    return write


def shuffled(count: int):
    return np.random.default_rng(0).permutation(count)


TRANSPOSED = {"csv by gene", "tsv.gz by gene, from R"}
FORMATS = {
    "zarr 2, csr": zarr_store(sparse.csr_matrix, 2),
    "zarr 2, csc": zarr_store(sparse.csc_matrix, 2),
    "zarr 2, dense": zarr_store(np.asarray, 2),
    "zarr 3, csr": zarr_store(sparse.csr_matrix, 3),
    "zarr 3, dense": zarr_store(np.asarray, 3),
    "zarr zip": zarr_zip,
    "zarr zip, folder inside": lambda folder, batch: zarr_zip(folder, batch, "new.zarr/"),
    "10x h5, version 2": tenx_2,
    "10x h5, version 3": tenx_3,
    "10x mtx, version 2": mtx(2, compress=False),
    "10x mtx, version 3": mtx(3, compress=True),
    "10x mtx, any order": mtx(3, compress=False, order=shuffled),
    "10x mtx, prefix and real": mtx(3, compress=True, prefix="GSM1_", kind="real"),
    "loom": loom((32, 32)),
    "loom, contiguous": loom(None),
    "csv": table(),
    "csv, quoted": table(quote=True),
    "tsv.gz": table(delimiter="\t", suffix="tsv.gz"),
    "csv by gene": table(transpose=True),
    "tsv.gz by gene, from R": table(delimiter="\t", transpose=True, corner=False, quote=True, suffix="tsv.gz"),
}


def read_all(path: Path, *, batch_size: int = 50, **options):
    """Everything that a reader gives."""
    with open_matrix(path, **options) as matrix:
        chunks = [rows.toarray() if sparse.issparse(rows) else rows for rows in matrix.chunks(batch_size)]
        return np.vstack(chunks), matrix.genes, matrix.cells, dict(matrix.var_columns())
