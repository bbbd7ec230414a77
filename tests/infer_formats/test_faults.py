"""What may befall a run, at the command line: a clear sentence, an exit code, and earlier files as they were."""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from formats_by_hand import FORMATS, GENES, TINY, TRANSPOSED, h5ad, make_batch, mtx, tenx_3, zarr_store
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError, apply
from scinn_infer.cli import group, main_for
from scinn_infer.inputs import open_matrix
from scinn_train.cli import group as train_group

OLD_MODEL = Path(__file__).parents[1] / "infer" / "old_models" / "format_1.onnx"
"""A model without a cell reference: ``check`` runs no network."""

RUN = "import sys; from scinn_infer.cli import main; sys.exit(main())"


def h5ad_as(storage):
    def write(folder, batch):
        batch.adata(storage).write_h5ad(folder / "new.h5ad")
        return folder / "new.h5ad"

    return write


ALL = {"h5ad, csr": h5ad, "h5ad, csc": h5ad_as(sparse.csc_matrix), "h5ad, dense": h5ad_as(np.asarray), **FORMATS}
SINGLE_FILES = [name for name in ALL if not name.startswith(("zarr 2", "zarr 3", "10x mtx"))]
HDF5 = ["h5ad, csr", "h5ad, csc", "h5ad, dense", "10x h5, version 2", "10x h5, version 3", "loom", "loom, contiguous"]
OUTS = ["out.h5ad", "out.zarr"]
LAZILY_READ = ["10x mtx, version 2", "10x mtx, version 3", "csv", "tsv.gz", "csv by gene"]
"""Formats whose values are read when the first rows are asked for."""


def contents(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(tmp_path_factory, capfd):
    """Run the three commands that read a batch; return what they say, once it is a refusal that left all as it was."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "out.h5ad").write_text("earlier result")
    (folder / "tissue.onnx").write_text("earlier model")

    def refused(path, *options, commands=("apply", "check", "fit"), model=TINY) -> list[str]:
        arguments = {
            "apply": ["apply", model, path, "-o", folder / "out.h5ad", "--overwrite"],
            "check": ["check", model, path],
            "fit": ["fit", path, "-o", folder / "tissue.onnx", "--overwrite"],
        }
        before, said = contents(folder), []
        for command in commands:
            programs = {"fit": (train_group, "scinn-train")}
            program, name = programs.get(command, (group, "scinn-infer"))
            assert main_for(program, name, [*map(str, arguments[command]), "--quiet", *options]) == 2, command
            printed = capfd.readouterr()
            sentences = [line for line in (printed.out + printed.err).splitlines() if line.startswith(START)]
            assert len(sentences) == 1, command
            assert "bug" not in sentences[0]
            assert contents(folder) == before, command
            said += sentences
        return said

    return refused


START = ("scinn-infer: error: ", "scinn-train: error: ", "refused: ")


def options_of(name: str) -> list[str]:
    return ["--transpose"] if name in TRANSPOSED else []


# ---- values that are none


IMPOSSIBLE = [(name, np.nan) for name in ALL]
IMPOSSIBLE += [(name, value) for name in ("h5ad, csc", "10x mtx, any order", "csv by gene") for value in (-1, np.inf)]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_an_impossible_value_is_named_with_its_cell_and_gene_in_every_format(name, value, batch, tmp_path, refused):
    batch.X[100, 6] = value
    path = ALL[name](tmp_path, batch)
    commands = ("apply", "check", "fit") if value != value else ("apply", "check")
    for sentence in refused(path, *options_of(name), commands=commands):
        assert f"cell 101 ({batch.cells[100]}), gene GENE7: " in sentence
        assert path.name in sentence


@pytest.mark.parametrize("name", ["h5ad, csr", "h5ad, csc", "10x mtx, any order", "loom"])
def test_an_impossible_value_in_a_column_that_is_summed_is_named(name, batch, tmp_path, refused):
    batch.genes[40] = batch.genes[2]
    batch.X[100, 40] = np.nan
    path = ALL[name](tmp_path, batch)
    for sentence in refused(path, "--sum-duplicates", commands=("apply", "check")):
        assert f"cell 101 ({batch.cells[100]}), gene GENE3: the value is missing" in sentence


def test_a_missing_value_in_row_712345_is_named(tmp_path, refused):
    cells, row = 750_000, 712_345
    genes = np.tile(np.array([3, 41], np.int32), cells)
    X = sparse.csr_matrix((np.full(2 * cells, 3, np.float32), genes, np.arange(0, 2 * cells + 1, 2)), (cells, 60))
    X.data[2 * (row - 1) + 1] = np.nan
    obs = pd.DataFrame(index=np.char.add("c", np.arange(1, cells + 1).astype(str)))
    anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=GENES)).write_h5ad(tmp_path / "new.h5ad")
    told = "X: cell 712,345 (c712345), gene GENE42: the value is missing (NaN)"
    assert told in refused(tmp_path / "new.h5ad", "--genes", "GENE42", "--no-quality", commands=("apply",))[0]
    assert told in refused(tmp_path / "new.h5ad", commands=("check",), model=OLD_MODEL)[0]


# ---- files that are empty, locked or cut


@pytest.mark.parametrize("name", SINGLE_FILES)
def test_an_input_of_zero_bytes_is_said_to_be_empty(name, batch, tmp_path, refused):
    path = ALL[name](tmp_path, batch)
    path.write_bytes(b"")
    for sentence in refused(path, *options_of(name)):
        assert f"{path} is empty (0 bytes)" in sentence


@pytest.mark.parametrize("part", ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"])
def test_a_part_of_a_folder_of_zero_bytes_is_named(part, batch, tmp_path, refused):
    folder = mtx(3, compress=True)(tmp_path, batch)
    (folder / part).write_bytes(b"")
    for sentence in refused(folder):
        assert f"{folder / part} is empty (0 bytes)" in sentence


def test_a_model_of_zero_bytes_is_said_to_be_empty(batch, tmp_path, refused):
    (tmp_path / "tissue.onnx").write_bytes(b"")
    for sentence in refused(h5ad(tmp_path, batch), commands=("apply", "check"), model=tmp_path / "tissue.onnx"):
        assert f"{tmp_path / 'tissue.onnx'} is empty (0 bytes)" in sentence


@pytest.mark.parametrize("format_", ["2", "3"])
@pytest.mark.parametrize("part", ["obs", "X", "X/data", "raw", "var/_index"])
def test_a_part_of_a_store_of_zero_bytes_is_damage(format_, part, batch, tmp_path, refused):
    path = FORMATS[f"zarr {format_}, csr"](tmp_path, batch)
    names = {"3": ["zarr.json"], "2": [".zattrs", ".zgroup", ".zarray"]}[format_]
    next(path / part / name for name in names if (path / part / name).is_file()).write_bytes(b"")
    for sentence in refused(path, commands=("apply",)):
        assert "truncated or damaged" in sentence
        assert str(path) in sentence


@pytest.fixture
def locked():
    """Have another process hold a file open for writing."""
    holders = []

    def lock(path):
        code = f"import h5py; file = h5py.File({str(path)!r}, 'a'); print('open', flush=True); input()"
        command = [sys.executable, "-c", code]
        holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert holders[-1].stdout.readline() == "open\n"

    yield lock
    for holder in holders:
        holder.communicate("\n")


@pytest.mark.parametrize("name", ["h5ad, csr", "10x h5, version 3", "loom"])
def test_an_input_that_another_program_writes_to_is_refused(name, batch, tmp_path, refused, locked):
    path = ALL[name](tmp_path, batch)
    locked(path)
    for sentence in refused(path):
        assert f"{path} is open for writing in another program" in sentence


def test_an_output_that_another_program_writes_to_is_not_replaced(batch, tmp_path, locked, capfd):
    path = h5ad(tmp_path, batch)
    out = shutil.copy(path, tmp_path / "out.h5ad")
    locked(out)
    before = contents(tmp_path)
    arguments = ["apply", TINY, path, "-o", out, "--overwrite"]
    assert main_for(group, "scinn-infer", [*map(str, arguments)]) == 2
    assert f"{out} is open for writing in another program" in capfd.readouterr().err
    assert contents(tmp_path) == before


def cut(file: Path, *, to: float = 0.5) -> None:
    os.truncate(file, int(file.stat().st_size * to))


@pytest.mark.parametrize("name", HDF5)
def test_an_input_that_is_cut_while_it_is_read_is_refused(name, tmp_path):
    path = ALL[name](tmp_path, make_batch(4000))
    with open_matrix(path) as matrix:
        chunks = matrix.chunks(100)
        if "csc" not in name:  # which is read as a whole for the first rows
            next(chunks)
        cut(path)
        with pytest.raises(ScinnError, match=r"was cut short while it was read: it had [\d,]+ bytes and has"):
            list(chunks)


@pytest.mark.parametrize("name", HDF5)
def test_an_input_that_is_written_to_while_it_is_read_is_refused(name, batch, tmp_path):
    path = ALL[name](tmp_path, batch)
    with open_matrix(path) as matrix:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\0")
        os.utime(path)
        with pytest.raises(ScinnError, match="was written to while it was read"):
            matrix.rows(0, 10)


def test_an_input_that_makes_room_for_another_is_read_to_its_end(batch, tmp_path):
    path = h5ad(tmp_path, batch)
    with open_matrix(path) as matrix:
        (tmp_path / "other").write_text("another file")
        (tmp_path / "other").rename(path)
        np.testing.assert_array_equal(matrix.rows(0, 130).toarray(), batch.X)


@pytest.mark.parametrize("name", LAZILY_READ)
def test_a_text_that_is_cut_between_its_passes_is_refused(name, batch, tmp_path):
    path = ALL[name](tmp_path, batch)
    file = next(path.glob("matrix.mtx*")) if path.is_dir() else path
    with open_matrix(path, transpose=name in TRANSPOSED) as matrix:
        if file.suffix == ".gz":
            cut(file)
        else:  # at the end of a line, where nothing but the length tells
            lines = file.read_bytes().splitlines(keepends=True)
            os.truncate(file, sum(map(len, lines[: len(lines) // 2])))
        with pytest.raises(ScinnError, match=f"{file}.*(was cut short while it was read|truncated or damaged)"):
            matrix.rows(0, 10)


@pytest.mark.parametrize("name", ["h5ad, csr", "h5ad, dense", "zarr 2, csr", "zarr 3, dense"])
def test_apply_does_not_finish_with_an_input_that_is_cut_meanwhile(name, tmp_path, monkeypatch, refused):
    path = ALL[name](tmp_path, make_batch(4000))

    def cut_after_the_first(blocks, **_):
        yield next(blocks)
        if path.is_file():
            cut(path)
        else:
            for file in (path / "X").rglob("*"):
                if file.is_file() and file.name.isdigit():
                    file.unlink()
        yield from blocks

    monkeypatch.setattr("scinn_infer.apply.track", cut_after_the_first)
    monkeypatch.setattr("scinn_infer.inputs.zarr_store._Buffered.__getitem__", unbuffered)
    (sentence,) = refused(path, commands=("apply",))
    assert "was cut short while it was read" in sentence or "lost a part while it was read" in sentence


@pytest.fixture
def refused_once(tmp_path, capfd, monkeypatch):
    """Run ``apply`` on an input to which something happens when it has been looked at; return what is said of it."""

    def refused_once(path, happens, *options, out="out.h5ad") -> str:
        with monkeypatch.context() as patched:
            patched.setattr(apply, "_look", functools.partial(looked_at, apply._look, happens))
            code = main_for(group, "scinn-infer", ["apply", *map(str, (TINY, path, "-o", tmp_path / out, *options))])
        assert code == 2
        assert not [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("out")]
        (sentence,) = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
        assert "bug" not in sentence
        return sentence

    return refused_once


def looked_at(look, happens, *arguments, **named):
    batch = look(*arguments, **named)
    happens()
    return batch


def put_in_place_of(path, other) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    other.replace(path)


COPIES = {"dense": [], "sparse": ["--min-value", "0.1"], "some genes": ["--genes", "GENE1"], "none": ["--no-matrix"]}
OF_TWO_FILES = [
    (name, copy, out) for name in ("h5ad, csr", "zarr 2, csr", "zarr zip") for copy in COPIES for out in OUTS
]


@pytest.mark.parametrize(("name", "copy", "out"), OF_TWO_FILES)
def test_no_output_is_of_two_inputs(name, copy, out, tmp_path, refused_once):
    path = ALL[name](tmp_path, make_batch(130))
    (tmp_path / "other").mkdir()
    other = ALL[name](tmp_path / "other", make_batch(130, seed=1))
    sentence = refused_once(path, lambda: put_in_place_of(path, other), *COPIES[copy], out=out)
    assert f"{path} was replaced or written to while it was read. Start again" in sentence


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("copy", COPIES)
def test_an_input_that_is_cut_before_it_is_copied_is_no_bug(copy, out, batch, tmp_path, refused_once):
    path = h5ad(tmp_path, batch)
    sentence = refused_once(path, lambda: os.truncate(path, 3000), *COPIES[copy], out=out)
    assert str(path) in sentence
    assert "was cut short while it was read" in sentence


@pytest.mark.parametrize("out", OUTS)
def test_an_input_that_is_removed_before_it_is_copied_is_no_output_that_fails(out, batch, tmp_path, refused_once):
    path = h5ad(tmp_path, batch)
    assert f"{path} was removed while it was read" in refused_once(path, path.unlink, out=out)


def test_a_text_that_is_replaced_between_its_passes_is_refused(batch, tmp_path):
    path = FORMATS["csv"](tmp_path, batch)
    with open_matrix(path) as matrix:
        shutil.copy2(path, tmp_path / "other").replace(path)
        with pytest.raises(ScinnError, match="was replaced"):
            matrix.rows(0, 10)


def test_a_store_that_is_replaced_while_its_values_are_read_is_refused(tmp_path, monkeypatch, refused):
    path = FORMATS["zarr 2, csr"](tmp_path, make_batch(4000))
    (tmp_path / "other").mkdir()
    other = FORMATS["zarr 2, csr"](tmp_path / "other", make_batch(4000, seed=1))

    def replaced_after_the_first(blocks, **_):
        yield next(blocks)
        put_in_place_of(path, other)
        yield from blocks

    monkeypatch.setattr("scinn_infer.apply.track", replaced_after_the_first)
    (sentence,) = refused(path, commands=("apply",))
    assert f"{path} was replaced or written to while it was read" in sentence


def test_once_it_is_copied_a_file_may_be_replaced(batch, tmp_path, monkeypatch):
    path, out = h5ad(tmp_path, batch), tmp_path / "out.h5ad"

    def replaced_after_the_first(blocks, **_):
        yield next(blocks)
        path.unlink()
        path.write_text("another file")
        yield from blocks

    monkeypatch.setattr("scinn_infer.apply.track", replaced_after_the_first)
    assert main_for(group, "scinn-infer", ["apply", str(TINY), str(path), "-o", str(out)]) == 0
    made = anndata.read_h5ad(out)
    np.testing.assert_array_equal(made.layers["scinn"][batch.X > 0], batch.X[batch.X > 0])
    np.testing.assert_array_equal(made.X.toarray(), batch.X)


def unbuffered(self, key):
    """Read from the store each time, as from one whose chunks are small beside it."""
    values = np.asarray(self._array[key])
    if isinstance(key, slice):
        self.chunks.check(*key.indices(self.shape[0])[:2])
    return values


# ---- stores of which chunks are missing


def remove_chunk(path: Path, part: str, number: int = 0) -> Path:
    chunk = sorted(file for file in (path / part).rglob("*") if file.is_file() and file.name.isdigit())[number]
    chunk.unlink()
    return chunk


def in_chunks(path: Path, part: str, size: int) -> None:
    """Store an array again in more chunks."""
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    values, attributes = root[part][:], dict(root[part].attrs)
    del root[part]
    array = root.create_array(part, shape=values.shape, dtype=values.dtype, chunks=(size, *values.shape[1:]))
    array[:] = values
    array.attrs.update(attributes)


@pytest.mark.parametrize("name", ["zarr 2, csr", "zarr 2, csc", "zarr 3, csr", "zarr 3, csc"])
@pytest.mark.parametrize(
    ("part", "number"), [("data", 0), ("data", 1), ("indices", 0), ("indices", 2), ("indptr", 0), ("indptr", 3)]
)
def test_a_lost_chunk_of_a_sparse_matrix_is_not_taken_for_zeros(name, part, number, batch, tmp_path, refused):
    path = (zarr_store(sparse.csc_matrix, 3) if name == "zarr 3, csc" else FORMATS[name])(tmp_path, batch)
    in_chunks(path, f"X/{part}", 20 if part == "indptr" else 700)
    remove_chunk(path, f"X/{part}", number)
    for sentence in refused(path, commands=("apply", "check", "fit") if number == 0 else ("apply",)):
        assert "new.zarr: X is damaged: " in sentence


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_lost_names_are_not_taken_for_empty_ones(axis, batch, tmp_path, refused):
    path = FORMATS["zarr 2, csr"](tmp_path, batch)
    remove_chunk(path, f"{axis}/_index")
    for sentence in refused(path):
        assert f"the names in {axis}, 1 of 1 chunk(s) are missing. Copy or write the store again." in sentence


def test_a_chunk_that_is_lost_from_a_zip_is_missed(batch, tmp_path, refused):
    path = FORMATS["zarr zip, folder inside"](tmp_path, batch)
    rest = tmp_path / "rest"
    shutil.unpack_archive(path, rest, "zip")
    remove_chunk(rest / "new.zarr", "X/indices")
    path.unlink()
    shutil.make_archive(str(tmp_path / "new"), "zip", rest)
    assert "is damaged: of its indices, 1 of 1 chunk(s) are missing" in refused(path, commands=("apply",))[0]


def test_a_dense_store_without_its_empty_chunks_is_read_and_the_gap_is_told(batch, tmp_path, capfd):
    batch.X[:50] = 0
    path = FORMATS["zarr 3, dense"](tmp_path, batch)
    in_chunks(path, "X", 10)
    arguments = [TINY, path, "-o", tmp_path / "out.h5ad"]
    assert main_for(group, "scinn-infer", ["apply", *map(str, arguments)]) == 0
    assert "X is stored dense, and 5 of its 13 chunks are not there: they are taken for zeros" in capfd.readouterr().err
    with open_matrix(path) as matrix:
        np.testing.assert_array_equal(matrix.rows(0, 70), batch.X[:70])
        (path / "X" / "c" / "9" / "0").unlink()
        with pytest.raises(ScinnError, match="lost a part while it was read: the chunk X/c/9/0 is not there any more"):
            matrix.rows(70, 130)


@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_matrix])
def test_chunks_of_zeros_that_a_store_leaves_out_are_no_damage(storage, batch, tmp_path):
    batch.X[:] = 0
    batch.X[90:, 0] = 3  # all in the first column, and nothing in the first rows
    path = zarr_store(storage, 3)(tmp_path, batch)
    in_chunks(path, "X/indptr", 20)
    in_chunks(path, "X/indices", 20)
    assert not (path / "X" / "indptr" / "c" / "0").exists() or storage is sparse.csc_matrix
    with open_matrix(path) as matrix:
        np.testing.assert_array_equal(matrix.rows(0, 130).toarray(), batch.X)


# ---- disks that fill up


def limited(room: int, *arguments, program: str = RUN) -> tuple[int, str]:
    """Run a command that may write files of a certain size only; return exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("name", "suffix", "room", "problem"),
    [
        ("zarr 2, csr", "h5ad", 5_000, "could not be written: File too large. Whatever was there before is unchanged."),
        ("zarr 2, csr", "zarr", 3_000, "File too large"),
        ("csv", "h5ad", 30_000, "re-ordering a matrix failed to write to"),
    ],
)
def test_a_disk_that_fills_up_is_one_sentence(name, suffix, room, problem, tmp_path):
    path = ALL[name](tmp_path, make_batch(1000))
    out = tmp_path / f"out.{suffix}"
    if suffix == "zarr":
        out.mkdir()
        (out / ".zgroup").write_text("earlier result")
    else:
        out.write_text("earlier result")
    before = contents(tmp_path)
    code, said = limited(room, "apply", TINY, path, "-o", out, "--overwrite", "--quiet")
    assert code == 2
    assert said.startswith("scinn-infer: error: ")
    assert said.count("\n") == 1
    assert len(said) < 600
    assert problem in said
    assert contents(tmp_path) == before


WRITE_UNDER_LIMITS = """
import os, resource, sys
from pathlib import Path
import anndata, h5py
import numpy as np
from scinn_infer.hdf5_write import open_to_write

def write(path, room):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        with open_to_write(path, "w") as (file, _):
            for number in range(40):
                group = file.create_group(f"group{number}")
                group.attrs["encoding-type"] = "some text"
                packed = group.create_dataset("packed", (0,), "f4", chunks=(500,), maxshape=(None,), compression="gzip")
                packed.resize((2000,))
                packed[:] = np.random.default_rng(number).random(2000)
                group.create_dataset("plain", data=np.arange(1000))
    except OSError as error:
        return error.errno
    return 0

for room in map(int, sys.argv[2:]):
    if (child := os.fork()) == 0:
        sys.exit(write(Path(sys.argv[1]), room))  # an end with all that is torn down in it
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_hdf5_does_not_crash_wherever_the_room_ends(tmp_path):
    rooms = [1, 2048, 20_000, 100_000, 300_000, 10_000_000]
    command = [sys.executable, "-c", WRITE_UNDER_LIMITS, tmp_path / "new.h5", *map(str, rooms)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split() == [str(errno.EFBIG)] * 5 + ["0"]


def test_a_real_disk_that_fills_up_is_one_sentence(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount nothing")
    try:
        path = FORMATS["zarr 2, csr"](tmp_path, make_batch(1000))
        (disk / "out.h5ad").write_text("earlier result")
        program = f"import shutil; shutil.disk_usage = lambda _: shutil._ntuple_diskusage(0, 0, 1 << 40); {RUN}"
        out = disk / "out.h5ad"
        code, said = limited(
            resource.RLIM_INFINITY, "apply", TINY, path, "-o", out, "--overwrite", "-q", program=program
        )
        assert code == 2
        assert said.startswith(f"scinn-infer: error: {out} could not be written: No space left on device")
        assert {file.name: file.read_bytes() for file in disk.iterdir()} == {"out.h5ad": b"earlier result"}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_report_that_finds_no_room_leaves_the_result(batch, tmp_path, capfd, monkeypatch):
    path, page = h5ad(tmp_path, batch), tmp_path / "report.html"
    page.write_text("earlier page")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    arguments = ["apply", TINY, path, "-o", tmp_path / "out.h5ad", "--report", page, "--overwrite", "--quiet"]
    monkeypatch.setattr(Path, "write_text", full)
    assert main_for(group, "scinn-infer", [*map(str, arguments)]) == 2
    monkeypatch.undo()
    said = capfd.readouterr().err
    assert f"{tmp_path / 'out.h5ad'} was written, but not the page about it: {page} could not be written: No" in said
    assert page.read_text() == "earlier page"
    assert {file.name for file in tmp_path.iterdir()} == {"new.h5ad", "out.h5ad", "report.html"}


# ---- files that are mixed up, and what else is in them


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@pytest.mark.parametrize("cells", [60, 130])
@pytest.mark.parametrize("told_by", ["barcodes", "ids", "columns"])
def test_barcodes_and_features_that_are_mixed_up_are_told(cells, told_by, tmp_path, refused):
    batch = make_batch(cells)
    if told_by != "barcodes":
        batch.cells = [f"cell{number}" for number in range(cells)]
    folder = mtx(3, compress=False)(tmp_path, batch)
    lines = {
        "barcodes": batch.ids,
        "ids": batch.ids,  # and nothing else of a gene
        "columns": [f"{gene}\t{gene}\tGene Expression" for gene in batch.genes],
    }
    (folder / "features.tsv").write_text("".join(f"{line}\n" for line in lines[told_by]))
    swap(folder / "features.tsv", folder / "barcodes.tsv")
    for sentence in refused(folder):
        assert (
            f"{folder / 'features.tsv'} and barcodes.tsv are swapped, by what is in them: the first lists " in sentence
        )
        assert f"{batch.cells[0]!r} for a gene" in sentence
        assert sentence.endswith("Swap their names.")


def test_where_only_the_lengths_tell_both_reasons_are_named(tmp_path, refused):
    batch = make_batch(130)
    batch.cells = [f"cell{number}" for number in range(130)]
    folder = mtx(2, compress=False)(tmp_path, batch)
    (folder / "genes.tsv").write_text("".join(f"{gene}\n" for gene in batch.genes))
    swap(folder / "genes.tsv", folder / "barcodes.tsv")
    for sentence in refused(folder, commands=("apply",)):
        assert "it is swapped, or the names of these two are" in sentence


GENE = "Gene Expression"
TYPES = [*["Antibody Capture"] * 9, *[GENE] * 20, *["CRISPR Guide Capture"] * 8, *[GENE] * 20, *["Peaks"] * 3]
NOTE = "besides 40 genes: 9 of Antibody Capture, 8 of CRISPR Guide Capture, 3 of Peaks. They are left out."


@pytest.mark.parametrize(
    "write", [tenx_3, lambda folder, batch, types: mtx(3, compress=True, types=types)(folder, batch)]
)
def test_gene_expression_is_taken_and_the_other_features_are_named(write, batch, tmp_path, capfd, model, monkeypatch):
    path, out = write(tmp_path, batch, types=TYPES), tmp_path / "out.h5ad"
    kept = [place for place, kind in enumerate(TYPES) if kind == GENE]
    assert main_for(group, "scinn-infer", ["apply", str(TINY), str(path), "-o", str(out)]) == 0
    assert NOTE in capfd.readouterr().err
    result = anndata.read_h5ad(out)
    assert list(result.var_names) == [batch.genes[place] for place in kept]
    with pytest.warns(scinn_infer.ScinnWarning, match="has only 67%"):
        expected = model.impute(batch.X[:, kept], list(result.var_names))
    np.testing.assert_array_equal(result.layers["scinn"], expected)

    assert main_for(group, "scinn-infer", ["check", str(TINY), str(path)]) == 1
    assert NOTE in capfd.readouterr().out
    main_for(group, "scinn-infer", ["check", str(TINY), str(path), "--json"])
    (note,) = json.loads(capfd.readouterr().out)["input"]["notes"]
    assert NOTE in note

    def fit(reference, **_):
        assert reference.cells_before == 130
        assert reference.genes_before == 40
        raise ScinnError("enough.")

    monkeypatch.setattr("scinn_train.fitting.fit_reference", fit)
    assert main_for(train_group, "scinn-train", ["fit", str(path), "-o", str(tmp_path / "tissue.onnx")]) == 2
    assert NOTE in capfd.readouterr().err


# ---- no room


class Full(io.BytesIO):
    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("as_json", [[], ["--json"]])
@pytest.mark.parametrize("name", ["h5ad, csc", "csv"])
@pytest.mark.parametrize("full", ["seen before", "found out"])
def test_a_full_disk_is_no_verdict_on_a_batch(name, full, as_json, batch, tmp_path, monkeypatch, capfd):
    path = ALL[name](tmp_path, batch)
    if full == "found out":
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    else:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    assert main_for(group, "scinn-infer", ["check", str(TINY), str(path), "--quiet", *as_json]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "scinn-infer: error: re-ordering a matrix" in printed.err
    assert "output" not in printed.err
