"""What there is to download: one entry per dataset, pinned by commit and SHA-256."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scinn_infer.errors import ScinnError
from scinn_train.datasets import readers

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SourceFile:
    """One upstream file.

    Attributes
    ----------
    url
        Where its unchanging bytes are.
    sha256
        Their SHA-256, as 64 hexadecimal digits.
    """

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name: the last part of its URL."""
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Dataset:
    """A dataset of the catalogue.

    Attributes
    ----------
    name
        Its name here, and that of its folder in the cache and in a mirror.
    holds
        What was sequenced, and which part of it this is.
    cells, genes
        Its size once read.
    unit
        The unit of ``X`` as ``fit`` wants it: ``counts``, ``tpm`` or ``fpkm``.
    quantity
        The same more precisely: UMI counts, read counts, RPKM.
    labels
        What ``obs["label"]`` says.
    batches
        What ``obs["batch"]`` says, or None where no batch is known.
    licence
        The licence that the upstream repository states.
    citation
        The paper to cite.
    files
        The upstream files, in the order that ``read`` takes them.
    read
        Reads these files.
    """

    name: str
    holds: str
    cells: int
    genes: int
    unit: str
    quantity: str
    labels: str
    batches: str | None
    licence: str
    citation: str
    files: tuple[SourceFile, ...]
    read: readers.Reader


def names() -> list[str]:
    """Return the names of all datasets."""
    return list(CATALOGUE)


def find(dataset: str | Dataset) -> Dataset:
    """Return the entry of a dataset given by name; an entry is returned as it is.

    Raises
    ------
    ScinnError
        The name is not in the catalogue; the message lists those that are.
    """
    if isinstance(dataset, Dataset):
        return dataset
    if dataset in CATALOGUE:
        return CATALOGUE[dataset]
    close = difflib.get_close_matches(dataset.lower(), CATALOGUE, cutoff=0.4)
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    msg = f"There is no dataset {dataset!r} in the catalogue.{guess} The datasets are: {', '.join(CATALOGUE)}."
    raise ScinnError(msg)


def _github(repository: str, commit: str, path: str, sha256: str) -> SourceFile:
    return SourceFile(f"https://raw.githubusercontent.com/{repository}/{commit}/{path}", sha256)


def _sc_mixology(file: str, sha256: str) -> SourceFile:
    return _github("LuyiTian/sc_mixology", "7d00ffb0bd043467f365a9358d7312f294f13c9f", f"data/csv/{file}", sha256)


def _enimpute(file: str, sha256: str) -> SourceFile:
    return _github("Zhangxf-ccnu/EnImpute", "8e42911c0691a48ecf3985d9005fa0891c24330e", f"pkg/data/{file}", sha256)


def _tmscc_klein(file: str, sha256: str) -> SourceFile:
    return _github("tarohi24/tmscc", "5e0f30fd009fe827ac2263f369c099a5bbc91a48", f"tmscc/data/klein/{file}", sha256)


_BARON = "Baron et al., Cell Systems 3 (2016), doi:10.1016/j.cels.2016.08.011"
_SAVER = "down-sampled for SAVER, Huang et al., Nature Methods 15 (2018), doi:10.1038/s41592-018-0033-z"

_ENTRIES = (
    Dataset(
        name="yan",
        holds="human preimplantation embryo (GSE36552)",
        cells=90,
        genes=20_214,
        unit="fpkm",
        quantity="RPKM",
        labels="embryonic stage (6)",
        batches=None,
        licence="GPL-3.0",
        citation="Yan et al., Nature Structural & Molecular Biology 20 (2013), doi:10.1038/nsmb.2660",
        files=(
            _github(
                "hemberg-lab/SC3",
                "5f5161b1aea7dacaad14eb2433b568bbfbd85b8a",
                "data/yan.rda",
                "04dbe1de78f59e157da8c438295d07b7c8694effe2e3adffa12c18fcd69c0a26",
            ),
        ),
        read=readers.read_yan,
    ),
    Dataset(
        name="goolam",
        holds="mouse preimplantation embryo (E-MTAB-3321); genes without any count left out",
        cells=124,
        genes=28_218,
        unit="counts",
        quantity="read counts",
        labels="embryonic stage (5)",
        batches=None,
        licence="GPL-3",
        citation="Goolam et al., Cell 165 (2016), doi:10.1016/j.cell.2016.01.047",
        files=(
            _github(
                "duct317/scDHA",
                "807ed96ce2c4306ae4592c74c6b5986d3093d470",
                "data/Goolam.rda",
                "6009b8c48ecfb2053777427ebbf3d37a1cc5718de304d1e6cf0e741c1264dc3d",
            ),
        ),
        read=readers.read_goolam,
    ),
    Dataset(
        name="camp_fetal220",
        holds="human fetal neocortex (GSE75140), 220 of the paper's 734 cells",
        cells=220,
        genes=12_694,
        unit="counts",
        quantity="counts as stored upstream, probably back-transformed from FPKM",
        labels="cell type (7)",
        batches="chip (3)",
        licence="GPL (>= 2)",
        citation="Camp et al., PNAS 112 (2015), doi:10.1073/pnas.1520760112",
        files=(
            _github(
                "lingxuez/SOUPR",
                "68358c79a40b82174605fdb249e286bd7fc5eee3",
                "data/camp.rda",
                "b78261242f923e942559edfc0144ed8cbfc5f448650062e6ae6f37391095e87e",
            ),
        ),
        read=readers.read_camp,
    ),
    Dataset(
        name="klein_1000x900",
        holds="mouse embryonic stem cells (GSE65525), 1,000 of 2,717 cells, 900 highly expressed genes",
        cells=1_000,
        genes=900,
        unit="counts",
        quantity="UMI counts",
        labels="days after LIF withdrawal (4)",
        batches=None,
        licence="MIT",
        citation="Klein et al., Cell 161 (2015), doi:10.1016/j.cell.2015.04.044",
        files=(
            _tmscc_klein("profile.txt", "476469c10c67eb3802edfe57f86c85c7bf305a8157cd250b4ddb8e722f76173e"),
            _tmscc_klein("labels.txt", "d844fc0c7117225d1def14a7a5546a6f41bbbccf5f0016e2c42323c4e5721d6c"),
        ),
        read=readers.read_klein,
    ),
    Dataset(
        name="romanov_neurons845",
        holds="mouse hypothalamus (GSE74672), 845 of 2,881 cells, mostly neurons",
        cells=845,
        genes=21_143,
        unit="counts",
        quantity="UMI counts",
        labels="cell class (6)",
        batches="C1 run (65)",
        licence="MIT",
        citation="Romanov et al., Nature Neuroscience 20 (2017), doi:10.1038/nn.4462",
        files=(
            _github(
                "lsteuernagel/mapscvi",
                "1b8be40cf4609795c86041f6cf2450d5f761998c",
                "data/query_romanov.RData",
                "b7c2f7d2bee3d43bc3a32b6fc6936f69a3fdb0414f0dfb0c425ad3faed90dcb3",
            ),
        ),
        read=readers.read_romanov,
    ),
    Dataset(
        name="baron_h123_1000g",
        holds="human pancreas, donors 1 to 3 (GSE84133), 7,162 cells, 1,000 genes",
        cells=7_162,
        genes=1_000,
        unit="counts",
        quantity="UMI counts",
        labels="cell type (9)",
        batches="donor (3)",
        licence="GPL-3.0",
        citation=_BARON,
        files=(
            _github(
                "datapplab/AutoClass",
                "61da061d6bc838ad1b481a9dfb0e9289a0c880a3",
                "datasets/Baron.zip",
                "70270c18032a8d3cdecbca8f0be0f97efe79447f8f5a9d1a8e33d740f4b5b94f",
            ),
        ),
        read=readers.read_baron,
    ),
    Dataset(
        name="mouse_bladder_2100",
        holds="mouse bladder (Mouse Cell Atlas), 2,100 cells, genes without names",
        cells=2_100,
        genes=20_670,
        unit="counts",
        quantity="UMI counts",
        labels="cell type (16), by number",
        batches=None,
        licence="Apache-2.0",
        citation="Han et al., Cell 172 (2018), doi:10.1016/j.cell.2018.02.001",
        files=(
            _github(
                "ttgump/scDCC",
                "142e4e0370f4134751e92a160f95f97fce8db369",
                "data/Small_Datasets/mouse_bladder_cell_select_2100.h5",
                "4e686932884fc04d8bc9a92dad1a648d6e23f490b0c106903bca95d68093f591",
            ),
        ),
        read=readers.read_bladder,
    ),
    Dataset(
        name="scmix_5cl_celseq2",
        holds="mixture of five human lung cancer cell lines, CEL-seq2; singlets, genes common to the plates",
        cells=571,
        genes=12_653,
        unit="counts",
        quantity="UMI counts",
        labels="cell line, by genotype (5)",
        batches="plate (3)",
        licence="MIT",
        citation="Tian et al., Nature Methods 16 (2019), doi:10.1038/s41592-019-0425-8",
        files=(
            _sc_mixology(
                "sc_celseq2_5cl_p1.count.csv.gz", "577324d2fd427685144420536489202c68ae98cb22f5825c40c8cf41c5fe0a07"
            ),
            _sc_mixology(
                "sc_celseq2_5cl_p1.metadata.csv.gz", "a6f5b206f891113162d2c9af27860c187a04ccd8848f9bc29be97dfa95eeadc4"
            ),
            _sc_mixology(
                "sc_celseq2_5cl_p2.count.csv.gz", "c6ef3df82d9fa44598ee15d8a07113c44a830ee3d2e3205c93590d594240bab5"
            ),
            _sc_mixology(
                "sc_celseq2_5cl_p2.metadata.csv.gz", "06d2f3b9fd646b4a3c1e6d1af7205c7eec1017bfab9a4c68853f9a3fc97be836"
            ),
            _sc_mixology(
                "sc_celseq2_5cl_p3.count.csv.gz", "e535abac653a5a3ee44eff88345db2315693732f679156ab20ee924b21bced9a"
            ),
            _sc_mixology(
                "sc_celseq2_5cl_p3.metadata.csv.gz", "c373869c9d3bbca9dc7773a8b8ef65e6035c939d45b18cb410fede526770eadb"
            ),
        ),
        read=readers.read_scmix,
    ),
    Dataset(
        name="saver_downsample_baron",
        holds='human pancreas, down-sampled; the reference counts are in layers["ref"]',
        cells=1_076,
        genes=2_284,
        unit="counts",
        quantity="UMI counts, down-sampled",
        labels="none known (na for every cell)",
        batches=None,
        licence="none stated",
        citation=f"{_BARON}; {_SAVER}",
        files=(_enimpute("baron.rda", "7546a98a61a3168c44d8765cb22a1b62daa99a00431191b57603c9dd8e13d5c9"),),
        read=readers.read_downsampled,
    ),
    Dataset(
        name="saver_downsample_zeisel",
        holds='mouse cortex and hippocampus, down-sampled; the reference counts are in layers["ref"]',
        cells=1_799,
        genes=3_529,
        unit="counts",
        quantity="UMI counts, down-sampled",
        labels="none known (na for every cell)",
        batches=None,
        licence="none stated",
        citation=f"Zeisel et al., Science 347 (2015), doi:10.1126/science.aaa1934; {_SAVER}",
        files=(_enimpute("zeisel.rda", "76c5b8dc15cabb0d4aacd9ede7741fd4e4b79e92b41238e6b11449552bd86f8c"),),
        read=readers.read_downsampled,
    ),
)

CATALOGUE: Mapping[str, Dataset] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Every dataset by name."""
