from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pytest

import scinn_train
from scinn_train import ScinnError


def spoil(reference, **places) -> tuple[np.ndarray, list[str]]:
    X, genes, _ = reference
    dense = X.toarray()
    for value in places.values():
        dense[3, 5] = value
    return dense, genes


@pytest.mark.parametrize(("value", "said"), [(-1.0, "negative"), (np.nan, "(?i)nan"), (np.inf, "(?i)inf")])
def test_impossible_values_are_named_with_their_cell_and_gene(value, said, reference, quick):
    dense, genes = spoil(reference, value=value)
    with pytest.raises(ScinnError, match=said) as caught:
        scinn_train.fit(dense, genes, config=quick)
    assert "cell 4, gene Gene5" in str(caught.value)


def test_logarithms_given_as_counts(reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match="log"):
        scinn_train.fit(np.log1p(X.toarray()), genes, config=quick)


def test_scaled_data_given_as_counts(reference, quick):
    X, genes, _ = reference
    dense = X.toarray()
    with pytest.raises(ScinnError, match="negative"):
        scinn_train.fit((dense - dense.mean(0)) / (dense.std(0) + 1), genes, config=quick)


def test_transposed(reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match="transposed"):
        scinn_train.fit(X.toarray().T, genes, config=quick)


@pytest.mark.parametrize(("bad", "shown"), [("Ge\0ne", r"'Ge\\x00ne'"), ("Gene\udcff", r"'Gene\\udcff'")])
def test_names_that_no_model_file_can_hold(bad, shown, reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match=rf"the name of gene 6 is {shown}; it must be text .* Change it"):
        scinn_train.fit(X, [*genes[:5], bad, *genes[6:]], config=quick)
    with pytest.raises(ScinnError, match=rf"^the matrix: the id of gene 3 is {shown}; it must be text"):
        scinn_train.fit(X, genes, gene_ids=["", "", bad, *genes[3:]], config=quick)


def test_duplicate_genes(reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match=r"Gene0.*unique"):
        scinn_train.fit(X, [*genes[:-1], "Gene0"], config=quick)


@pytest.mark.parametrize("shape", [(0, 240), (50, 0)])
def test_empty(shape, reference, quick):
    genes = reference[1][: shape[1]]
    with pytest.raises(ScinnError, match="empty"):
        scinn_train.fit(np.zeros(shape), genes, config=quick)


def test_no_counts_anywhere(reference, quick):
    with pytest.raises(ScinnError, match=r"0 of 240 genes"):
        scinn_train.fit(np.zeros((50, 240)), reference[1], config=quick)


def test_one_cell(reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match=r"1 cell\(s\)"):
        scinn_train.fit(X[[0]], genes, config=quick)


def test_no_gene_is_seen_often_enough(quick):
    X = np.eye(40)
    with pytest.raises(ScinnError, match="seen in 3 or more"):
        scinn_train.fit(X, [f"g{number}" for number in range(40)], config=quick)


def test_fewer_cells_than_clusters(reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match="too few for 30 clusters"):
        scinn_train.fit(X[:40], genes, config=replace(quick, clusters=30))


def test_more_clusters_than_the_sample_has_cells_for(reference, quick, monkeypatch):
    X, genes, _ = reference
    monkeypatch.setattr("scinn_train.clustering.CLUSTERED_AT_ONCE", 80)
    with pytest.raises(ScinnError, match=r"200 cells, of which 80 are clustered .* too few for 30 .* 26 or fewer"):
        scinn_train.fit(X, genes, config=replace(quick, clusters=30))


def test_all_cells_alike(reference, quick):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match="alike"):
        scinn_train.fit(np.outer(np.arange(1, 41), X.toarray()[0]), genes, config=quick)


def test_genes_are_needed(reference, quick):
    with pytest.raises(ScinnError, match="names of the genes"):
        scinn_train.fit(reference[0], config=quick)


def test_a_layer_that_is_not_there(reference, quick):
    adata = anndata.AnnData(reference[0].toarray())
    with pytest.raises(ScinnError, match="'spliced'"):
        scinn_train.fit(adata, layer="spliced", config=quick)


def test_not_a_matrix(quick):
    with pytest.raises(ScinnError, match=r"of shape \(5,\)"):
        scinn_train.fit(np.arange(5.0), ["a"], config=quick)


def test_transposed_as_a_file_has_it(reference, quick):
    X = reference[0]
    barcodes = ["".join("ACGT"[(number >> 2 * place) % 4] for place in range(16)) + "-1" for number in range(200)]
    with pytest.raises(ScinnError, match=r"barcodes.*transposed"):
        scinn_train.fit(X.toarray().T, barcodes, config=quick)


def test_gene_ids_of_another_length(reference, quick):
    with pytest.raises(ScinnError, match="3 gene ids came with 240"):
        scinn_train.fit(reference[0], reference[1], gene_ids=["a", "b", "c"], config=quick)


def test_text_instead_of_numbers(reference, quick):
    with pytest.raises(ScinnError, match="values of type"):
        scinn_train.fit(reference[0].toarray().astype(str), reference[1], config=quick)


def test_integers_that_float32_would_round(reference, quick):
    X = reference[0].toarray().astype(np.int64)
    X[0, 0] = 2**24 + 1
    with pytest.raises(ScinnError, match="float64"):
        scinn_train.fit(X, reference[1], config=quick)
