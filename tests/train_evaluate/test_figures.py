import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from scinn_infer import ScinnError
from scinn_train.figures import Panel, plot_cells, plot_history, save_png
from scinn_train.training import Epoch

PICTURE = np.random.default_rng(0).normal(size=(90, 2))


def cells(types=3, **kwargs):
    labels = [f"type {number % types}" for number in range(90)]
    return plot_cells([Panel(PICTURE, "raw"), Panel(PICTURE[::-1], "imputed")], labels, **kwargs)


def history(epochs=4):
    terms = ("clusters", "similarity", "neighbourhood", "masked", "total")
    return [
        Epoch(9 * epoch, *(dict.fromkeys(terms, scale / epoch) for scale in (1, 2))) for epoch in range(1, epochs + 1)
    ]


def pixels(figure, tmp_path):
    save_png(figure, tmp_path / "picture.png", overwrite=True)
    return imread(tmp_path / "picture.png")


def test_cells_side_by_side_in_the_colours_of_their_types(tmp_path):
    figure = cells(title="a tissue")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["raw", "imputed"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["type 0", "type 1", "type 2"]
    image = pixels(figure, tmp_path)
    assert image.shape[1] > image.shape[0] > 500
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 50
    halves = np.array_split(image[:, : int(image.shape[1] * 0.85), :3], 2, axis=1)
    assert all((half < 0.9).any(axis=2).mean() > 0.005 for half in halves), "both panels are to show cells"


@pytest.mark.parametrize("types", [2, 16, 45])
def test_no_two_types_look_alike(types, tmp_path):
    figure = cells(types)
    looks = {(handle.get_facecolor().tobytes(), handle.get_paths()[0].vertices.tobytes()) for handle in handles(figure)}
    assert len(looks) == types
    pixels(figure, tmp_path)


def handles(figure):
    return figure.axes[0].get_legend_handles_labels()[0]


def test_types_are_listed_as_people_count():
    texts = [text.get_text() for text in cells(12).legends[0].get_texts()]
    assert texts == [f"type {number}" for number in range(12)]


def test_history_has_a_panel_for_each_term_with_the_sum_first(tmp_path):
    figure = plot_history(history(), best_epoch=2)
    assert [axis.get_title() for axis in figure.axes] == [
        "weighted sum",
        "clusters",
        "similarity",
        "neighbourhood",
        "masked",
    ]
    training, held_out, kept = figure.axes[1].lines
    np.testing.assert_allclose(training.get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(held_out.get_ydata(), [2, 2 / 2, 2 / 3, 2 / 4])
    assert kept.get_xdata()[0] == 3
    assert (pixels(figure, tmp_path)[..., :3] < 0.9).any()


@pytest.mark.parametrize(
    ("pictures", "labels", "sentence"),
    [
        ([], ["a"] * 90, "no picture to draw"),
        ([PICTURE], ["a"] * 4, r"picture 1 \('raw'\) shows 90 cells, and the labels have the shape \(4,\)"),
        ([PICTURE], [["a", "b"]] * 90, "one for each"),
        ([PICTURE, PICTURE[:80]], ["a"] * 90, r"picture 2 \('raw'\) shows 80 cells"),
        ([np.zeros((90, 3))], ["a"] * 90, r"shape \(90, 3\): give two coordinates"),
        ([np.zeros(90)], ["a"] * 90, r"shape \(90,\): give two coordinates"),
        ([PICTURE[:0]], [], r"shape \(0, 2\): give two coordinates"),
    ],
)
def test_refuses_cells_that_cannot_be_drawn(pictures, labels, sentence):
    with pytest.raises(ScinnError, match=sentence):
        plot_cells([Panel(picture, "raw") for picture in pictures], labels)


def test_draws_tables_of_coordinates():
    figure = plot_cells([Panel(pd.DataFrame(PICTURE), "")], pd.Series(["b", "a"] * 45, dtype="category"))
    assert sum(len(points.get_offsets()) for points in figure.axes[0].collections) == 90


def test_refuses_a_history_of_no_epochs():
    with pytest.raises(ScinnError, match="the history has no epochs"):
        plot_history([])


def test_same_numbers_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        save_png(cells(), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_keeps_what_is_there_unless_told_otherwise(tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("precious")
    with pytest.raises(ScinnError, match="exists"):
        save_png(cells(), path)
    assert path.read_text() == "precious"
    save_png(cells(), path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_leaves_matplotlib_as_it_was():
    import matplotlib

    def settings():
        return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}

    before = settings()
    cells().savefig(io.BytesIO())
    assert settings() == before
