"""A sentence for every input that is not what it should be: which file, where in it, what to do."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from formats_by_hand import FORMATS, TINY, TRANSPOSED, h5ad, loom, mtx, read_all, table, tenx_2, tenx_3, zarr_store
from scipy import sparse

from scinn_infer import ScinnError
from scinn_infer.cli import group, main_for
from scinn_infer.inputs import open_matrix


def refused(path, *, names=None, **options) -> str:
    """Return the sentence with which an input is refused, when it is opened or read."""
    with pytest.raises(ScinnError) as refusal:
        read_all(path, **options)
    sentence = str(refusal.value)
    assert str(names or path) in sentence
    assert "\n" not in sentence
    assert sentence.endswith((".", ")", '"')) or "pip install" in sentence
    return sentence


# ---- what is no format at all


def test_refuses_what_is_not_there(tmp_path):
    assert "is not there" in refused(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty (0 bytes)"),
        (b"just some words\nand more\n", "in no format that is read"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF,", "in no format that is read"),
        (gzip.compress(b"words", mtime=0), "in no format that is read"),
        (b"PK\x03\x04nonsense", "truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "truncated or damaged"),
    ],
)
def test_says_what_was_expected(tmp_path, content, problem):
    (tmp_path / "new").write_bytes(content)
    sentence = refused(tmp_path / "new")
    assert problem in sentence
    assert "no format" not in problem or "Expected is an .h5ad file, a zarr store of anndata's, a 10x" in sentence


def test_refuses_other_folders(tmp_path, batch):
    assert "It is empty. Expected is" in refused(tmp_path)
    for name in "abcdef":
        (tmp_path / name).write_text("")
    assert "It holds a, b, c, d, e and more. Expected is" in refused(tmp_path)
    folder = mtx(3, compress=True)(tmp_path, batch)
    assert f"Give the one inside: {folder}" in refused(tmp_path)


def test_refuses_other_hdf5_and_zarr_and_zip(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_group("weights")
    assert "no obs and no var" in refused(tmp_path / "weights.h5")
    zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=2)
    assert "is a zarr store, but not anndata's: it has no obs and no var" in refused(tmp_path / "image.zarr")
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        archive.writestr("matrix.csv", "x")
    assert "no zarr store. Unpack it" in refused(tmp_path / "new.zip")


@pytest.mark.parametrize("part", [0.3, 0.9, 0.995])
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in TRANSPOSED and not name.startswith("zarr ")])
def test_refuses_a_truncated_file(name, part, batch, tmp_path):
    path = FORMATS[name](tmp_path, batch)
    file = next(path.glob("*matrix.mtx*")) if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    assert refused(path, names=file)


@pytest.mark.parametrize("name", ["zarr 2, csr", "zarr 3, csr"])
def test_refuses_a_damaged_store(name, batch, tmp_path):
    path = FORMATS[name](tmp_path, batch)
    chunk = max(filter(Path.is_file, (path / "X" / "data").rglob("*")), key=lambda file: file.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:20])
    assert "truncated or damaged" in refused(path)


# ---- what may not be read


@pytest.fixture
def forbid(monkeypatch):
    """Have the system refuse to open files of some name, as it does to whoever is not root."""
    opened = Path.open

    def forbid(name: str) -> None:
        def refusing(path, *arguments, **options):
            if path.name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", refusing)

    return forbid


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (h5ad, "new.h5ad"),
        (tenx_3, "new.h5"),
        (table(), "new.csv"),
        (mtx(3, compress=False), "features.tsv"),
        (mtx(3, compress=True), "matrix.mtx.gz"),
        (zarr_store(sparse.csr_matrix, 2), "0"),
    ],
)
def test_what_may_not_be_read_is_not_told_as_damage(batch, tmp_path, forbid, write, name):
    path = write(tmp_path, batch)
    forbid(name)
    sentence = refused(path)
    assert "cannot be read: Permission denied" in sentence
    assert name in sentence
    assert "Ask whoever owns it to let you read it" in sentence
    assert "damaged" not in sentence


def test_what_may_not_be_read_has_a_document_too(batch, tmp_path, monkeypatch, forbid, capfd):
    path = h5ad(tmp_path, batch)
    forbid("new.h5ad")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # what click asks for arguments
    assert main_for(group, "scinn-infer", ["check", str(TINY), str(path), "--json"]) == 2
    assert "new.h5ad cannot be read: Permission denied" in json.loads(capfd.readouterr().out)["refusals"][0]


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "Make room there"), (errno.EACCES, "Choose a folder")])
@pytest.mark.parametrize("write", [table(), zarr_store(sparse.csc_matrix, 2)])
def test_room_is_asked_for_where_there_is_none(batch, tmp_path, monkeypatch, write, number, advice):
    def refusing(**_):
        raise OSError(number, os.strerror(number))

    path = write(tmp_path, batch)
    monkeypatch.setattr("tempfile.TemporaryFile", refusing)
    sentence = refused(path, names=f"failed to write to {tempfile.gettempdir()}: {os.strerror(number)}. {advice}")
    assert "damaged" not in sentence


# ---- 10x Genomics


def test_names_the_genomes_of_a_file_with_several(batch, tmp_path):
    sentence = refused(tenx_2(tmp_path, batch, genomes=("GRCh38", "mm10")))
    assert "holds the genomes GRCh38, mm10, and a model knows genes of one" in sentence
    assert 'scanpy.read_10x_h5("new.h5", genome="GRCh38")' in sentence


def test_refuses_a_file_without_gene_expression(batch, tmp_path):
    types = ["Peaks"] * 40 + ["Antibody Capture"] * 20
    for write in (lambda: tenx_3(tmp_path, batch, types), lambda: mtx(3, compress=True, types=types)(tmp_path, batch)):
        assert "no Gene Expression, but 40 of Peaks, 20 of Antibody Capture" in refused(path := write(), names=path)


def test_refuses_a_wrong_index_in_a_10x_file(batch, tmp_path):
    path = tenx_3(tmp_path, batch)
    with h5py.File(path, "r+") as file:
        file["matrix/indices"][3] = 1000
    assert "an index is out of range" in refused(path)


def edit(path, change) -> None:
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def folder(batch, tmp_path):
    return mtx(3, compress=False)(tmp_path, batch)


@pytest.mark.parametrize("name", ["barcodes.tsv", "features.tsv"])
def test_names_the_file_that_is_missing_or_empty(folder, name):
    (folder / name).write_text("")
    assert "is empty (0 bytes)" in refused(folder / "matrix.mtx", names=folder / name)
    (folder / name).unlink()
    sentence = refused(folder)
    assert f"has matrix.mtx, but no {name}" in sentence
    assert "Copy it there too" in sentence


def test_names_the_file_that_does_not_belong_to_the_others(folder):
    edit(folder / "barcodes.tsv", lambda lines: lines.pop())
    assert "barcodes.tsv lists 129 cells, and the matrix has 130" in refused(folder)
    edit(folder / "features.tsv", lambda lines: lines.append("ENSG00000999999\tNEW\tGene Expression"))
    assert "features.tsv lists 61 genes, and the matrix has 60; barcodes.tsv lists 129" in refused(folder)


def test_tells_swapped_files_from_a_swapped_matrix(folder):
    features, cells = folder / "features.tsv", folder / "barcodes.tsv"
    one, other = features.read_text(), cells.read_text()
    features.write_text(other)
    cells.write_text(one)
    assert f"{features} and barcodes.tsv are swapped, by what is in them" in refused(folder)
    features.write_text(one)
    cells.write_text(other)

    def swap(lines):
        lines[2:] = [" ".join([b, a, c]) for a, b, c in map(str.split, lines[2:])]

    edit(folder / "matrix.mtx", swap)
    assert "is 130 × 60, for 60 genes in features.tsv and 130 cells in barcodes.tsv: it is swapped, or" in refused(
        folder
    )


def test_refuses_two_matrices(folder):
    (folder / "raw_matrix.mtx").write_text("")
    assert "more than one matrix: matrix.mtx, raw_matrix.mtx. Give one of them" in refused(folder)


@pytest.mark.parametrize(
    ("line", "content", "problem"),
    [
        (
            0,
            "%%MatrixMarket matrix array real general",
            "expected is %%MatrixMarket matrix coordinate, integer or real",
        ),
        (0, "%%MatrixMarket matrix coordinate real symmetric", "line 1 is"),
        (0, "%%MatrixMarket matrix coordinate pattern general", "values of type 'pattern', not counts"),
        (0, "%%MatrixMarket matrix coordinate complex general", "values of type 'complex', not counts"),
        (2, "60 130", "expected are three whole numbers: genes, cells and entries"),
        (2, "60 130 -4", "expected are three whole numbers"),
        (7, "1 2", "line 8 has 2 numbers, not three"),
        (7, "1 2 3 4", "line 8 has 4 numbers, not three"),
        (7, "1 2 many", "line 8 has 'many' for the value"),
        (7, "0 2 3", "line 8 names gene 0, of 60"),
        (7, "61 2 3", "line 8 names gene 61, of 60"),
        (7, "6 131 3", "line 8 names cell 131, of 130"),
        (7, "1.5 2 3", "line 8 names gene 1.5, of 60"),
        (7, "1 2 16777217", "holds the value 16777217"),
        (7, "", "entries and has"),
    ],
)
def test_names_the_line_that_is_wrong(folder, line, content, problem):
    def change(lines):
        lines[line] = content

    edit(folder / "matrix.mtx", change)
    assert problem in refused(folder)


# ---- loom


def test_a_loom_file_needs_names(batch, tmp_path):
    path = loom(None)(tmp_path, batch)
    with h5py.File(path, "r+") as file:
        del file["row_attrs/Gene"]
    assert "row_attrs has no Gene and no var_names, but Accession. Store the names under Gene." in refused(path)


# ---- tables


@pytest.mark.parametrize("transpose", [False, True])
def test_says_when_a_table_seems_to_be_the_other_way_round(batch, tmp_path, transpose):
    path = table(transpose=not transpose)(tmp_path, batch)
    sentence = refused(path, transpose=transpose)
    assert "It seems to be the other way round" in sentence
    assert ("leave --transpose out" if transpose else "give --transpose (transpose=True)") in sentence


@pytest.mark.parametrize(
    "names", [[f"ENSG{number:011d}" for number in range(60)], ["ACTB", "GAPDH", *map(str, range(58))]]
)
def test_knows_genes_among_rows_even_if_cells_have_no_barcodes(batch, tmp_path, names):
    batch.genes, batch.cells = names, [f"cell{number}" for number in range(130)]
    assert "give --transpose" in refused(table(transpose=True)(tmp_path, batch))
    np.testing.assert_array_equal(read_all(table()(tmp_path, batch))[0], batch.X)


@pytest.mark.parametrize(
    ("line", "change", "problem"),
    [
        (4, lambda line: line + ",1", "line 5 (AATAAAAA"),
        (4, lambda line: line.rpartition(",")[0], "has 59 values, and there are 60 names in the first line"),
        (
            4,
            lambda line: ",".join([*line.split(",")[:-1], "NA?"]),
            "column 61 (GENE60): the value is 'NA?', which is no",
        ),
        (4, lambda line: ",".join([*line.split(",")[:-1], ""]), "line 5 (AATAAAAA"),
        (4, lambda line: ",".join([*line.split(",")[:-1], ""]), "column 61 (GENE60): the value is empty"),
        (4, lambda line: ",".join([*line.split(",")[:-1], "16777217"]), "holds the value 16777217"),
    ],
)
def test_names_the_line_and_the_column(batch, tmp_path, line, change, problem):
    path = table()(tmp_path, batch)

    def edited(lines):
        lines[line] = change(lines[line])

    edit(path, edited)
    sentence = refused(path)
    assert problem.replace("AATAAAAA", batch.cells[3][:8]) in sentence


@pytest.mark.parametrize("transpose", [False, True])
def test_a_table_without_names_in_front_loses_no_gene(batch, tmp_path, transpose):
    frame = batch.adata().to_df()
    (frame.T if transpose else frame).to_csv(tmp_path / "new.csv", index=False)
    sentence = refused(tmp_path / "new.csv", transpose=transpose)
    first, named = (batch.cells[0], "genes") if transpose else ("GENE1", "cells")
    assert f"no names in front: the first column, '{first}', holds numbers" in sentence
    assert f"Write it with the names of the {named} in front" in sentence


@pytest.mark.parametrize("heading", ["", "cell", "Cell_ID", "barcode", "obs_names", "Unnamed: 0", "index"])
@pytest.mark.parametrize("names", [range(130), [number % 65 for number in range(130)]], ids=["once", "twice"])
def test_cells_may_have_numbers_for_names_below_a_heading_that_says_so(batch, tmp_path, heading, names):
    batch.adata().to_df().set_axis(names).rename_axis(heading).to_csv(tmp_path / "new.csv")
    X, genes, cells, _ = read_all(tmp_path / "new.csv")
    np.testing.assert_array_equal(X, batch.X)
    assert (genes, cells) == (batch.genes, list(map(str, names)))


def test_numbers_that_may_be_names_are_taken_for_names_and_told(batch, tmp_path):
    batch.adata().to_df().set_axis(range(130)).rename_axis("number").to_csv(tmp_path / "new.csv")
    with open_matrix(tmp_path / "new.csv") as matrix:
        assert matrix.cells == list(map(str, range(130)))
        (note,) = matrix.notes
    assert "the numbers in the first column, 'number', are taken for the names of the cells" in note


def with_first_name(folder, batch, name: str):
    """A table whose first cell has a name that is written like that."""
    path = table()(folder, batch)
    head, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([head, name + first[first.index(",") :], *rest]))
    return path


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('"a"",b"', 'a",b'),
        ('"a\nb"', "a\nb"),
        ('"a\n\n"",b"', 'a\n\n",b'),
        ('"a""b"""', 'a"b"'),
        ('"a"b', "ab"),
        ('a"b', 'a"b'),
        ('""', ""),
    ],
)
def test_names_in_quotes_are_read_as_csv_has_them(batch, tmp_path, written, name):
    X, _, cells, _ = read_all(with_first_name(tmp_path, batch, written))
    assert cells == [name, *batch.cells[1:]]
    np.testing.assert_array_equal(X, batch.X)


def test_a_name_of_a_column_may_go_over_several_lines(batch, tmp_path):
    path = table()(tmp_path, batch)
    path.write_text(path.read_text().replace("GENE60", '"GENE\n60"', 1))
    X, genes, _, _ = read_all(path)
    assert genes == [*batch.genes[:-1], "GENE\n60"]
    np.testing.assert_array_equal(X, batch.X)


def test_a_quote_that_does_not_end_is_told_by_its_line(batch, tmp_path):
    assert "line 2 begins with a quote that does not end" in refused(with_first_name(tmp_path, batch, '"a'))


def test_a_quote_in_the_first_line_that_does_not_end_is_told_where_it_is(tmp_path):
    path = tmp_path / "quote.csv"
    path.write_text('cell,"GENE1,GENE2\n' + "c,1,2\n" * 100)
    assert "a quote in its first line does not end" in refused(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("\n", "\r").encode(), "its lines end in CR alone"),
        (lambda text: text.replace(",", ";").encode(), "a table with semicolons between its values"),
        (lambda text: text.encode("utf-16"), "is text in UTF-16, and UTF-8 is read"),
        (
            lambda text: text.replace("GENE1", "GÉNE1", 1).encode("latin-1"),
            "line 1 is text in another encoding than UTF-8",
        ),
        (
            lambda text: (text + "é" + text[text.index("\n") :]).encode("latin-1"),
            "line 132 is text in another encoding",
        ),
    ],
)
def test_a_table_in_another_dress_is_told_which(batch, tmp_path, change, told):
    path = table()(tmp_path, batch)
    path.write_bytes(change(path.read_text()))
    assert told in refused(path)


def test_genes_in_rows_are_told_where_the_names_are_the_models(batch, tmp_path, capfd):
    batch.cells = [f"c{number}" for number in range(130)]
    path = table(transpose=True)(tmp_path, batch)
    for command in (["check"], ["apply", "-o", tmp_path / "out.h5ad"]):
        assert main_for(group, "scinn-infer", [command[0], *map(str, (TINY, path, *command[1:]))]) == 2
        printed = capfd.readouterr()
        told = "seems to have its genes in rows: the model's are among the names of its cells, such as GENE1, GENE10"
        assert told in printed.out + printed.err
        assert "--transpose" in printed.out + printed.err


def test_a_table_of_one_line_is_none(tmp_path):
    (tmp_path / "new.csv").write_text(",A,B,C\n")
    assert "has one line only" in refused(tmp_path / "new.csv")


# ---- packages


@pytest.mark.parametrize("module", ["h5py", "anndata", "zarr"])
def test_names_the_package_that_is_missing(batch, tmp_path, monkeypatch, module):
    path = zarr_store(sparse.csr_matrix, 2)(tmp_path, batch)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ScinnError, match=rf'{module}.*pip install "scinn\[anndata\]"'):
        read_all(path)


def test_says_when_zarr_is_too_old(batch, tmp_path, monkeypatch):
    path = zarr_store(sparse.csr_matrix, 2)(tmp_path, batch)
    monkeypatch.setattr(zarr, "__version__", "2.18.7")
    with pytest.raises(ScinnError, match=r'needs zarr 3; 2.18.7 is installed: pip install "zarr>=3"'):
        read_all(path)
