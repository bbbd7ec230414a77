"""``scinn-train demo``: the whole way once, from a reference to the score of an imputed batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scinn_infer.commands.console import print_json
from scinn_infer.commands.options import json_option, quiet_option, speaker

if TYPE_CHECKING:
    from scinn_train.demo import Demo


def _complete_dataset(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from scinn_train.datasets.cli import complete_name

    return complete_name(context, parameter, incomplete)


@click.command(short_help="Train, export, apply to cells never seen, score and draw, on simulated or public data.")
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=_complete_dataset,
    help="A dataset of 'scinn-train datasets list'.  [default: simulated tissue]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("scinn-demo"),
    show_default=True,
    help="Folder for the files; if something is in it, a new FOLDER-2 (-3, …) is made instead.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random step.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads.  [default: all it may use]")
@click.option("--overwrite", is_flag=True, help="Write into the folder whatever is in it.")
@json_option
@quiet_option
def demo(
    *, dataset: str | None, output: Path, seed: int, threads: int | None, overwrite: bool, as_json: bool, quiet: bool
) -> None:
    """Train on reference cells, export, apply the file to cells never seen in training, score and draw.

    The default is a simulated tissue in two batches: the second is never seen in training, and its true expression is
    known. A dataset of the catalogue is split into its last batch and the others, or, where it has none, within each
    cell type.

    \b
    Example:

    \b
        scinn-train demo
        scinn-train demo --dataset scmix_5cl_celseq2 -o scmix-demo
    """  # noqa: D301 - \b keeps click from filling the lines
    from scinn_train.demo import RESULTS, run_demo

    done = run_demo(dataset, folder=output, seed=seed, threads=threads, overwrite=overwrite, progress=not quiet)
    if as_json:
        results = json.loads((done.folder / RESULTS).read_text(encoding="utf-8"))
        print_json({"folder": str(done.folder), **results})
    else:
        _report(done)
    _tell_files(done, quiet=quiet)


def _report(done: Demo) -> None:
    from scinn_train.demo import SEEDS
    from scinn_train.report import print_comparison, print_truth
    from scinn_train.transforms import HEADLINE

    click.echo(f"\n{done.title}\n")
    if done.truth:
        print_truth(done.truth)
    if done.comparison:
        print_comparison(done.comparison)
    seeds = f" Cell types: median of {len(SEEDS)} seeds (range)." if done.comparison else " No cell types are known."
    click.echo(f"Scale: {HEADLINE}.{seeds}")


def _tell_files(done: Demo, *, quiet: bool) -> None:
    from scinn_train.demo import CONTENTS

    say = speaker(quiet=quiet)
    say(f"\n{done.folder} holds:")
    for name, what in CONTENTS.items():
        if (done.folder / name).exists():
            say(f"  {name:<17} {what}")
