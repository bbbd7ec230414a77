"""A fit gives the same whatever else goes on in the process, and refuses in a sentence what it cannot be given."""

from __future__ import annotations

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

import scinn_infer
import scinn_train
from scinn_infer.errors import ScinnWarning
from scinn_train import LossWeights, ScinnError


@pytest.fixture(scope="session")
def brief(quick):
    """Long enough to differ wherever something does."""
    return replace(quick, module2=replace(quick.module2, epochs=2, fewest_steps=10))


@pytest.fixture(scope="session")
def alone(reference, brief) -> bytes:
    X, genes, _ = reference
    return scinn_train.fit(X, genes, config=brief).to_bytes()


def test_fits_in_several_threads_are_each_what_they_are_alone(reference, brief, alone):
    X, genes, _ = reference
    with ThreadPoolExecutor(2) as threads:
        fits = [threads.submit(scinn_train.fit, X, genes, config=brief) for _ in range(2)]
    assert [fit.result().to_bytes() == alone for fit in fits] == [True, True]


def test_what_the_caller_has_set_of_torch_does_not_matter(reference, brief, alone):
    X, genes, _ = reference
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.inference_mode():
            assert scinn_train.fit(X, genes, config=brief).to_bytes() == alone
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


NEIGHBOURS_IN_A_NEW_PROCESS = """
import numpy as np
import torch
from scinn_train import similarity

similarity.EXACT_BELOW = 0
torch.set_num_threads(1)
latents = [np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)]
similarity.Similarity(latents).neighbours(5)
print(torch.get_num_threads())
"""


def test_the_approximate_index_leaves_the_number_of_threads_alone():
    """In a new process, since numba sets torch's when its pool starts: once."""
    done = subprocess.run(
        [sys.executable, "-c", NEIGHBOURS_IN_A_NEW_PROCESS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]


def test_so_few_genes_that_hardly_any_entry_can_be_hidden(quick, tmp_path):
    X = np.random.default_rng(0).poisson(2.0, (20, 2)).astype(np.float32) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = scinn_train.fit(X, ["A", "B"], config=quick)
    assert result.recovery.observed.size >= 2
    assert np.isfinite(list(result.info.quality.values())).all()
    result.write_report(tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()


def test_what_cannot_be_measured_is_left_out(quick, tmp_path):
    X = np.repeat(np.array([[1, 1], [3, 1]], dtype=np.float32), 10, axis=0)
    result = scinn_train.fit(X, ["A", "B"], config=quick)
    assert all(np.isfinite(value) for value in result.info.quality.values())
    result.write_report(tmp_path / "page.html")


def test_the_file_states_the_module_1_that_was_run(fitted, reference, brief):
    X, genes, _ = reference
    other = replace(brief, seed=3, clusters=5, module1=replace(brief.module1, networks=3))
    training = scinn_train.fit(X, genes, config=other, cell_map=fitted.cell_map).info.training
    assert (training["seed"], training["module1_seed"]) == (3, 0)
    assert training["config"]["clusters"] is None
    assert training["config"]["module1"]["networks"] == brief.module1.networks
    assert training["config"]["module2"]["epochs"] == other.module2.epochs


def test_terms_of_weight_zero_are_not_computed_and_an_untrained_network_is_not_described(reference, fitted, brief):
    X, genes, _ = reference

    def fit(**weights):
        module2 = replace(brief.module2, weights=LossWeights(**weights))
        return scinn_train.fit(X, genes, config=replace(brief, module2=module2), cell_map=fitted.cell_map)

    assert set(fit(similarity=0).history[0].training) == {"total", "clusters", "neighbourhood", "masked"}
    neither = fit(similarity=0, clusters=0)
    assert set(neither.history[0].training) == {"total", "neighbourhood", "masked"}
    assert neither.info.cell_reference is None


def test_a_training_that_diverges_says_so(reference, fitted, brief):
    X, genes, _ = reference
    wild = replace(brief, module2=replace(brief.module2, learning_rate=1e6))
    with pytest.raises(ScinnError, match="the training diverged"):
        scinn_train.fit(X, genes, config=wild, cell_map=fitted.cell_map)


@pytest.mark.parametrize(("factor", "size"), [(1e30, "large"), (1e-6, "small")])
def test_values_that_no_unit_has_are_refused_before_the_training(factor, size, reference, brief):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match=f"values are far too {size} for counts, with a mean of"):
        scinn_train.fit(X * factor, genes, config=brief, unit_checked=True)


def test_what_the_file_holds_besides_is_told_in_python_too(brief, reference, tmp_path):
    folder = tmp_path / "tenx"
    folder.mkdir()
    X, genes, _ = reference
    from scipy.io import mmwrite

    mmwrite(folder / "matrix.mtx", sparse.coo_matrix(X.T.astype(np.int64)))
    kinds = ["Gene Expression"] * (len(genes) - 5) + ["Antibody Capture"] * 5
    lines = (f"{gene}\t{gene}\t{kind}" for gene, kind in zip(genes, kinds, strict=True))
    (folder / "features.tsv").write_text("\n".join(lines) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(f"cell{number}" for number in range(X.shape[0])) + "\n")
    with pytest.warns(ScinnWarning, match="Antibody Capture"):
        result = scinn_train.fit(folder, config=brief)
    assert len(result.genes) <= len(genes) - 5


def test_a_table_of_genes_by_cells_is_read_as_one_says(brief, reference, tmp_path):
    import pandas as pd

    X, genes, _ = reference
    table = pd.DataFrame(X.toarray().T, index=genes, columns=[f"cell{number}" for number in range(X.shape[0])])
    table.to_csv(tmp_path / "table.csv")
    result = scinn_train.fit(tmp_path / "table.csv", transpose=True, config=brief)
    assert set(result.genes) <= set(genes)
    with pytest.raises(ScinnError, match="transpose is for tables in files"):
        scinn_train.fit(X, genes, transpose=True, config=brief)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cell_names": ["one"]}, "200 cells, but 1 cell names"),
        ({"gene_ids": "ABCDE"}, "gene_ids is a text"),
        ({"memory_gb": "1"}, "memory_gb is '1'"),
        ({"cell_map": "map"}, "cell_map is of type str"),
        ({"checkpoint": 3}, "checkpoint is 3"),
        ({"checkpoint": "nowhere/kept"}, "there is no folder nowhere"),
        ({"resume": True}, "resume is True, but no checkpoint"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_in_a_sentence(given, sentence, reference, brief):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match=sentence):
        scinn_train.fit(X, genes, config=brief, **given)


def test_matrices_of_a_wrong_kind_are_refused_in_a_sentence(reference, brief):
    X, genes, _ = reference
    dense = X.toarray()
    with pytest.raises(ScinnError, match="is of type list"):
        scinn_train.fit(dense.tolist(), genes, config=brief)
    with pytest.raises(ScinnError, match="has masked entries"):
        scinn_train.fit(np.ma.masked_array(dense, mask=dense > 2), genes, config=brief)


def test_parts_of_an_entry_add_up_whatever_the_type(reference, brief):
    X, genes, _ = reference
    doubled = sparse.coo_array(X.astype(np.uint8))
    parts = tuple(np.concatenate([axis, axis]) for axis in (doubled.row, doubled.col))
    many = np.full(doubled.nnz, 200, dtype=np.uint8)
    coo = sparse.coo_array((np.concatenate([many, many]), parts), shape=X.shape)
    whole = (X != 0).astype(np.float32) * 400
    same = [scinn_train.fit(matrix, genes, config=brief).info.training_data for matrix in (coo, whole)]
    assert same[0] == same[1]


@pytest.mark.parametrize("cells", [-1, 200, 1.0, "a", [[0, 1], [2, 3]]])
def test_what_is_no_index_of_a_cell_is_refused(cells, fitted):
    with pytest.raises(ScinnError, match="no index of a cell, nor a list"):
        fitted.similarity(cells, [0])
    assert fitted.similarity([], [0]).shape == (0, 1)


def test_the_model_of_a_fit_without_reference_is_applied_all_the_same(reference, fitted, brief):
    X, genes, _ = reference
    module2 = replace(brief.module2, weights=LossWeights(similarity=0, clusters=0))
    result = scinn_train.fit(X, genes, config=replace(brief, module2=module2), cell_map=fitted.cell_map)
    assert scinn_infer.load(result.to_bytes()).assess(X, genes).drift is None
