"""Matching genes is a report: what was found, what that means, and what to do."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scinn_infer import ScinnError
from scinn_infer.errors import ScinnWarning
from scinn_infer.gene_table import GeneTable
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
    assert "upper and lower case (Gene3, Gene4, Gene5; the model has GENE3, GENE4, GENE5)" in problem


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
    with pytest.raises(ScinnError, match="genes is the text 'GENE1'; pass a list of names"):
        model.match("GENE1")


TRAPS = [
    (lambda gene: f" {gene}\t", r"30 names have spaces or quotes .*\(' GENE1\\t', .*the model has GENE1, GENE3"),
    (
        lambda gene: f'"{gene}"',
        r"30 names have spaces or quotes .*: take them off; in Python, name\.strip\('\"'\) does",
    ),
    (lambda gene: f"' {gene}'", r"take them off; in Python, name\.strip\(\" '\"\) does"),
    (str.lower, r"upper and lower case \(gene1, gene3, gene5; the model has GENE1.*of human"),
    (lambda gene: f"GRCh38_{gene}", r"30 names have something before .*\(GRCh38_GENE1, .*take it off"),
    (lambda gene: f"hg19___{gene}", r"something before .*\(hg19___GENE1"),
    (lambda gene: f"{gene}_ENSG00000999999", "something before or behind .* a second name"),
    (lambda gene: f"{gene}.2", r"30 names end in a number .*\(GENE1\.2, .*a version, or a copy"),
]


@pytest.mark.parametrize(("spell", "sentence"), TRAPS)
def test_tells_how_names_are_written_otherwise_and_undoes_nothing(model, genes, spell, sentence):
    half = [spell(gene) if number % 2 == 0 else gene for number, gene in enumerate(genes)]
    match = model.match(half)
    assert match.matched == 30
    assert not match.problem
    assert re.search(sentence, match.warning), match.warning
    assert match.warning.split(": ")[0] not in match.sentence  # told once
    problem = model.match([spell(gene) for gene in genes]).problem
    assert "has 0% of the model's 60 genes" in problem
    assert re.search(sentence.split(" .*")[0].replace("30 ", "60 ").split(r" \(")[0], problem), problem


def named(info, *names):
    """Return the model as it would be if its last genes had these names; they hold next to nothing."""
    mean = (*info.training_data.gene_mean[: -len(names)], *[1e-6] * len(names))
    return replace(
        info,
        genes=(*info.genes[: -len(names)], *names),
        gene_ids=(),
        training_data=replace(info.training_data, gene_mean=mean),
    )


@pytest.mark.parametrize(
    ("model_has", "batch_has", "sentence"),
    [
        (
            ["MT-ND1", "MT-CO2"],
            ["mt-Nd1", "mt-Co2"],
            r"2 mitochondrial genes are written otherwise \(mt-Nd1, mt-Co2; .*MT",
        ),
        (["C1orf112"], ["C1ORF112"], r"1 name differs .* case \(C1ORF112; the model has C1orf112\): write them as"),
        (["HLA-A", "A_B"], ["HLA.A", "A-B"], r"2 names have another sign .*\(HLA\.A, A-B; the model has HLA-A, A_B"),
        (["SEPTIN2", "MARCH1"], ["SEPT2", "MARCHF1"], r"2 genes were renamed .*\(SEPT2, MARCHF1; .*SEPTIN2, MARCH1"),
        (["SEPT2"], ["2-Sep"], r"1 gene has a date for a name \(2-Sep\).* The model has SEPT2"),
        (["MARCH1"], ["Mar-01"], r"1 gene has a date for a name \(Mar-01\)"),
        (["DEC1"], ["1-Dec", "2001-03-01 00:00:00"], "2 genes have dates for names"),
        ([], ["1-Mar", "2-Mar", "3/1/2001"], "3 genes have dates for names .*spreadsheet"),
        ([], ["GENE1-1", "GENE2.1"], r"2 genes seem to be copies .*\(GENE1-1, GENE2\.1\).*duplicates='sum'"),
    ],
)
def test_tells_of_few_names_without_a_warning_but_of_many_with_one(model, model_has, batch_has, sentence):
    info = named(model.info, *model_has) if model_has else replace(model.info, gene_ids=())
    names = [*info.genes[: 60 - len(model_has)], *batch_has]
    match = match_genes(info, names)
    assert match.matched == 60 - len(model_has)
    told = match.warning if model_has else " ".join(match.notes)
    assert re.search(sentence, told), told
    large = replace(info, genes=(*info.genes, *(f"MORE{number}" for number in range(200))))
    large = replace(
        large, training_data=replace(info.training_data, gene_mean=(*info.training_data.gene_mean, *[0.01] * 200))
    )
    match = match_genes(large, [*names, *large.genes[60:]])
    assert not match.warning
    assert re.search(sentence, match.sentence), match.sentence


@pytest.mark.parametrize(
    "names", [["NKX2-1", "RP11-34.1", "AC012.1", "1-Mar"], ["7SK", "A1BG-AS1", "H2-K1"], ["other", "other-1"]]
)
def test_ordinary_names_are_no_traps(model, genes, names):
    match = model.match([*genes, *names])
    assert not match.warning
    assert not match.notes


def table(column=None, **columns):
    var = pd.DataFrame(columns, index=[f"row{number}" for number in range(60)])
    return GeneTable(read=lambda: var, source="new.h5ad", option="--gene-column {}", column=column)


FORMS = {
    "object": lambda names: pd.Series(names, dtype=object),
    "string": lambda names: pd.Series(names, dtype="string"),
    "categories": lambda names: pd.Series(names).astype("category"),
}


@pytest.mark.parametrize("form", FORMS)
def test_names_are_taken_from_the_column_and_from_the_index_where_it_has_none(genes, form):
    names = FORMS[form]([*genes[:57], None, "", " "]).array
    assert table("symbol", symbol=names).names() == [*genes[:57], "row57", "row58", "row59"]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("symbols", "new.h5ad: there is no var column 'symbols'. Columns of names: symbol, gene_ids. Without one, the"),
        ("n_cells", r"new.h5ad: var\['n_cells'\] holds no names, but int64. Columns of names: symbol, gene_ids"),
        ("mixed", r"var\['mixed'\] holds no names"),
        ("highly", r"var\['highly'\] holds no names, but bool"),
    ],
)
def test_a_column_without_names_is_refused(genes, column, sentence):
    others = {"n_cells": range(60), "mixed": [*genes[:59], 3], "highly": [True] * 60}
    with pytest.raises(ScinnError, match=sentence):
        table(column, symbol=genes, gene_ids=pd.Categorical([ensembl(1)] * 60), **others).names()


def test_says_which_column_has_the_names(model, genes):
    ids = [ensembl(number) for number in range(1, 61)]
    known = table(ensembl=ids, symbol=[*genes[:57], "a", "b", "c"], count=range(60))
    problem = match_genes(model.info, [f"row{number}" for number in range(60)], table=known).problem
    assert problem.endswith("But var['ensembl'] has 100% of them: --gene-column ensembl")
    problem = match_genes(replace(model.info, gene_ids=()), ids, table=known).problem
    assert problem.endswith("But var['symbol'] has 95% of them: --gene-column symbol")
    ids_only = replace(model.info, genes=tuple(ids), gene_ids=())
    assert match_genes(ids_only, genes, table=known).problem.endswith("has 100% of them: --gene-column ensembl")
    some = [*genes[:30], *(f"row{number}" for number in range(30))]
    assert "But var['ensembl']" in match_genes(model.info, some, table=known).warning
    assert not match_genes(model.info, genes, table=known).warning


def test_says_when_the_index_would_have_been_better(model, genes):
    var = pd.DataFrame({"odd": ["x"] * 60}, index=genes)
    odd = GeneTable(read=lambda: var, source="adata", option="gene_column={!r}", column="odd")
    problem = match_genes(model.info, odd.names(), table=odd).problem
    assert problem.endswith("But the index of var has 100% of them: leave gene_column='odd' out")
    assert not match_genes(model.info, ["y"] * 60, table=table(other=["z"] * 60)).problem.endswith("has")
