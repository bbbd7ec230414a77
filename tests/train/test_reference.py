"""Which genes and cells of a matrix a model is trained on, and the digest that tells the matrix from any other."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from scipy import sparse

from scinn_train import Config
from scinn_train.expression import Expression
from scinn_train.provenance import stored_sha256
from scinn_train.reference import prepare


def test_a_gene_is_kept_that_just_enough_cells_show():
    X = np.random.default_rng(0).poisson(2, (30, 5)) + 1
    X[4:, 1] = X[3:, 2] = X[2:, 3] = 0
    with prepare(X, list("abcde"), config=Config(min_cells=3)) as reference:
        assert reference.genes == ("a", "b", "c", "e")
        assert reference.X.shape == (30, 4)


VALUES, GENES = np.array([[0, 3, 0.5], [0, 0, 0], [7, 0, 1]], dtype=np.float32), ["Gene1", "Ärger", "MT-ND1"]


def test_the_digest_of_a_matrix_is_of_the_bytes_that_are_documented(monkeypatch):
    documented = [
        struct.pack("<2q", 3, 3),
        "Gene1\nÄrger\nMT-ND1".encode(),
        struct.pack("<4q", 0, 2, 2, 4),
        struct.pack("<4q", 1, 2, 0, 2),
        struct.pack("<4f", 3, 0.5, 7, 1),
    ]
    digest = hashlib.sha256(b"".join(documented)).hexdigest()
    assert stored_sha256(Expression.held(sparse.csr_array(VALUES)), GENES) == digest
    monkeypatch.setattr("scinn_train.expression.CHUNK_ENTRIES", 1)
    assert stored_sha256(Expression.held(sparse.csr_array(VALUES)), GENES) == digest


@pytest.mark.parametrize("genes", [["Gene2", "Ärger", "MT-ND1"], ["Ärger", "Gene1", "MT-ND1"]])
def test_other_genes_have_another_digest(genes):
    X = Expression.held(sparse.csr_array(VALUES))
    assert stored_sha256(X, genes) != stored_sha256(X, GENES)
