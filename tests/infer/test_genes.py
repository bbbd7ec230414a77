"""Matching genes is a report: what was found, what that means, and what to do."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scinn_infer import ScinnError
from scinn_infer.errors import ScinnWarning
from scinn_infer.genes import match_genes


def ensembl(number: int, *, prefix: str = "ENSG", version: int | None = None) -> str:
    return f"{prefix}{number:011d}" + (f".{version}" if version else "")


@settings(deadline=None, derandomize=True)
@given(
    kept=st.sets(st.integers(0, 59)), extra=st.lists(st.from_regex(r"other\d", fullmatch=True)), seed=st.integers(0, 99)
)
def test_the_report_accounts_for_every_gene(model, genes, kept, extra, seed):
    names = np.random.default_rng(seed).permutation([*(genes[column] for column in kept), *extra]).tolist()
    match = match_genes(model.info, names)
    assert match.matched == len(kept) == match.measured.sum()
    assert match.overlap == pytest.approx(len(kept) / 60)
    assert match.missing == tuple(gene for column, gene in enumerate(genes) if column not in kept)
    assert sorted(match.extra) == sorted(extra)
    assert match.duplicated == tuple(dict.fromkeys(name for name in names if extra.count(name) > 1))
    for name, column in zip(names, match.columns, strict=True):
        assert column == (genes.index(name) if name in genes else -1)
    assert bool(match.problem) == (len(kept) < 18)
    assert bool(match.warning) == (18 <= len(kept) < 48)


def test_counts_the_expression_that_the_genes_hold(model, genes):
    mean = np.array(model.info.training_data.gene_mean)
    strongest = np.argsort(-mean)[:30]
    match = model.match([genes[column] for column in strongest])
    assert match.overlap == 0.5
    assert match.expression_share == pytest.approx(mean[strongest].sum() / mean.sum())
    assert f"{match.expression_share:.0%} of the expression" in match.sentence


@pytest.mark.parametrize("version", [None, 3, 14])
def test_ensembl_ids_match_whatever_their_version(model, version):
    match = model.match([ensembl(number, version=version) for number in range(60, 0, -1)])
    assert match.by == "Ensembl ids"
    assert match.columns.tolist() == list(range(59, -1, -1))


def test_a_model_that_knows_no_id_for_a_gene_goes_by_its_name(model):
    ids = (*model.info.gene_ids[:50], *[""] * 10)
    info = replace(model.info, gene_ids=ids)
    assert match_genes(info, [*ids[:50], *model.genes[50:]]).matched == 60


def test_a_model_whose_genes_are_ids_needs_no_others(model):
    info = replace(model.info, genes=tuple(ensembl(number, version=2) for number in range(1, 61)), gene_ids=())
    assert match_genes(info, [ensembl(number, version=5) for number in range(1, 61)]).matched == 60
    assert match_genes(info, [ensembl(number) for number in range(1, 61)]).matched == 60


def test_versions_count_where_only_they_tell_two_genes_apart(model):
    genes = (ensembl(1, version=1), ensembl(1, version=2), *model.genes[2:])
    info = replace(model.info, genes=genes, gene_ids=())
    assert match_genes(info, [*model.genes[2:], *genes[:2]]).columns[-2:].tolist() == [0, 1]
    assert match_genes(info, [*model.genes[2:], ensembl(1)]).columns[-1] == -1


def test_symbols_and_a_few_ids_among_them(model):
    info = replace(model.info, genes=(ensembl(7, version=1), *model.genes[1:]), gene_ids=())
    match = match_genes(info, [ensembl(7, version=9), *model.genes[1:]])
    assert (match.by, match.matched) == ("symbols", 60)


def test_a_gene_of_the_model_twice_is_refused_and_an_unknown_one_reported(model, genes, counts):
    match = model.match([*genes, "GENE3", "other", "other"])
    assert match.duplicated == ("GENE3", "other")
    assert "more than once: GENE3. Sum" in match.problem
    assert "var_names_make_unique" in match.problem
    assert "More than once in the batch: GENE3, other." in match.sentence
    with pytest.raises(ScinnError, match="GENE3"):
        model.impute(np.hstack([counts, counts[:, :1]]), [*genes, "GENE3"])
    assert not model.match([*genes, "other", "other"]).problem


def test_two_versions_of_an_id_are_the_same_gene_twice(model):
    names = [ensembl(number) for number in range(1, 61)]
    assert f"{ensembl(5)}, {ensembl(5, version=2)}" in model.match([*names, ensembl(5, version=2)]).problem


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            [f"gene{number}" for number in range(1, 61)],
            "upper and lower case .* another species.* The model is of human",
        ),
        ([f"Gene{number}" for number in range(1, 21)], "upper and lower case"),
        ([ensembl(number, prefix="ENSMUSG") for number in range(1, 61)], "Ensembl ids .* another species"),
        ([f"ACGTACGTACGTACG{letter}-1" for letter in "ACGT"], "look like cell barcodes .* transposed"),
        ([f"s1_{'ACGT' * 4}-{number}" for number in range(60)], "look like cell barcodes"),
        ([str(number) for number in range(60)], "the batch 0, 1, 2: pass the names of all its genes"),
        ([], "no genes at all"),
    ],
)
def test_says_why_genes_do_not_match(model, names, sentence):
    problem = match_genes(model.info, names, source="new.h5ad").problem
    assert problem.startswith("new.h5ad has 0% of the model's 60 genes; at least 30% are needed.")
    with pytest.raises(ScinnError, match=sentence):
        raise ScinnError(problem)


@pytest.mark.parametrize("name", ["GENE{}", "ENSG{:011d}", "ENSG{:011d}.4"])
def test_says_that_a_batch_was_cut_to_some_genes(model, name):
    problem = match_genes(model.info, [name.format(number) for number in range(1, 16)]).problem
    assert problem.startswith("The batch has 25% of the model's 60 genes")
    assert "The names agree, but most of the model's genes are missing: pass all genes of the batch" in problem


def test_shows_the_names_that_differ_in_case(model):
    problem = match_genes(model.info, ["GENE1", "GENE2", *(f"Gene{number}" for number in range(3, 61))]).problem
    assert "upper and lower case (Gene3, Gene4, Gene5; the model has GENE1, GENE2, GENE3)" in problem


def test_says_when_one_has_ids_and_the_other_symbols(model, genes):
    ids = tuple(ensembl(number) for number in range(1, 61))
    symbols_only = replace(model.info, gene_ids=())
    assert "the model knows symbols (GENE1, GENE2, GENE3)" in match_genes(symbols_only, ids).problem
    ids_only = replace(model.info, genes=ids, gene_ids=())
    assert "The model knows Ensembl ids" in match_genes(ids_only, genes).problem


def test_the_floor_and_the_warning(model, genes, counts):
    counts = np.delete(counts, 3, axis=0)  # without the empty cell
    with pytest.raises(ScinnError, match="28% of the model's 60 genes"):
        model.impute(counts[:, :17], genes[:17])
    with pytest.warns(ScinnWarning, match="only 78%"):
        model.impute(counts[:, :47], genes[:47])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.impute(counts[:, :48], genes[:48])


def test_a_text_is_no_list_of_names(model):
    with pytest.raises(ScinnError, match="one name for each column"):
        model.match("GENE1")
