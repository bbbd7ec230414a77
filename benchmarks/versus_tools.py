"""One tool fills in one batch, from .h5ad to .h5ad: what ``apply_versus.py`` runs in a process of its own.

python benchmarks/versus_tools.py TOOL INPUT OUTPUT MODEL THREADS

It prints the seconds from opening the input to the end of writing, imports left out. Each tool writes a dense layer.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

EPOCHS = 1
"""Of scVI's training: what it costs to apply depends on the sizes alone."""


def scinn(source: Path, output: Path, model: Path, threads: int) -> Callable[[], None]:
    """Apply a model as ``scinn-infer apply`` does, the quality of each cell included."""
    import anndata  # noqa: F401 - imported when files are read
    import h5py  # noqa: F401

    import scinn_infer
    from scinn_infer.apply import apply_file

    return lambda: apply_file(scinn_infer.load(model, threads=threads), source, output)


def magic(source: Path, output: Path, _: Path, threads: int) -> Callable[[], None]:
    """Fit MAGIC, which applies to no cells but those that it is fitted on, with its defaults, as its authors ask.

    Its input is the square root of the counts, each cell at the median depth.
    """
    import anndata
    import numpy as np
    import scipy.sparse
    from magic import MAGIC

    def run() -> None:
        cells = anndata.read_h5ad(source)
        depth = np.asarray(cells.X.sum(axis=1)).ravel()
        root = (scipy.sparse.diags(np.median(depth) / np.maximum(depth, 1)) @ cells.X).sqrt()
        cells.layers["magic"] = MAGIC(n_jobs=threads, random_state=0, verbose=-1).fit_transform(root.toarray())
        cells.write_h5ad(output)

    return run


def scvi(source: Path, output: Path, model: Path, threads: int) -> Callable[[], None]:
    """Apply a trained scVI: the expected counts at each cell's own depth."""
    import anndata
    import numpy as np
    import torch

    scvi = _quiet_scvi()
    torch.set_num_threads(threads)

    def run() -> None:
        cells = anndata.read_h5ad(source)
        trained = scvi.model.SCVI.load(model, adata=cells, accelerator="cpu")
        share = trained.get_normalized_expression(library_size=1, return_numpy=True)
        cells.layers["scvi"] = share * np.asarray(cells.X.sum(axis=1)).reshape(-1, 1)
        cells.write_h5ad(output)

    return run


TOOLS = {"scINN": scinn, "MAGIC": magic, "scVI": scvi}


def train_scvi(source: Path, model: Path) -> None:
    import anndata

    scvi = _quiet_scvi()
    cells = anndata.read_h5ad(source)[:1000].copy()
    scvi.model.SCVI.setup_anndata(cells)
    network = scvi.model.SCVI(cells)
    network.train(max_epochs=EPOCHS, accelerator="cpu", enable_progress_bar=False)
    network.save(model, overwrite=True)


def write_input(path: Path, *, cells: int, genes: int) -> None:
    """Write a simulated tissue whose genes are called as the model has them (CSR, float32)."""
    import anndata
    import numpy as np
    import pandas as pd
    import scipy.sparse
    from synthetic import gene_names

    from scinn_train.simulate import SimulationConfig, simulate_tissue

    tissue = simulate_tissue(SimulationConfig(cells_per_batch=(cells,), genes=genes, depth=0.3 * genes))
    counts = scipy.sparse.csr_matrix(tissue.X, dtype=np.float32)
    anndata.AnnData(
        counts, obs=pd.DataFrame(index=tissue.obs_names), var=pd.DataFrame(index=gene_names(genes))
    ).write_h5ad(path)


def write_model(path: Path, *, genes: int) -> None:
    from synthetic import CAPTURED, random_model

    path.write_bytes(random_model(genes, capture_efficiency=CAPTURED))


def missing(tool: str) -> str:
    """Return why a tool cannot be run here; nothing if it can."""
    try:
        if tool == "MAGIC":
            import magic  # noqa: F401
        elif tool == "scVI":
            import scvi  # noqa: F401
    except ImportError as error:
        return f"{error}: pip install 'scinn[bench]'"
    return ""


def _quiet_scvi() -> ModuleType:
    import logging

    import scvi
    import scvi.model

    for name in ("scvi", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return scvi


def main() -> None:
    tool, source, output, model, threads = sys.argv[1:]
    warnings.simplefilter("ignore")
    run = TOOLS[tool](Path(source), Path(output), Path(model), int(threads))
    started = time.perf_counter()
    run()
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
