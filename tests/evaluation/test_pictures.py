"Pictures of many classes, long names and odd arguments, as a reader meets them."

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist, pdist, squareform

from ggml_nb import plot_clustermap, plot_embedding
from ggml_nb.evaluation.pictures import COLORS, class_colors, umap_embedding

LONG = [
    "healthy",
    "chronic kidney disease of the third stage, with diabetes",
    "acute injury, recovered",
    "living donor",
]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def points(labels):
    "Points in the plane for some labels, and their distances."
    X = np.random.default_rng(0).normal(size=(len(labels), 2))
    return X, cdist(X, X)


@pytest.mark.parametrize(
    "labels, order",
    [
        ([11, 2, 0, 10, 1], ["0", "1", "2", "10", "11"]),
        (["11", "2", "10"], ["2", "10", "11"]),
        (["day 10", "day 9", "day"], ["day", "day 9", "day 10"]),
        ([0.5, 0.25, -3], ["-3.0", "0.25", "0.5"]),
        (["10b", "b", "10a", "2"], ["2", "10a", "10b", "b"]),
    ],
)
def test_classes_come_in_a_readers_order(labels, order):
    assert list(class_colors(labels)) == order


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 2 has it")
def test_text_as_numpy_2_has_it_draws_as_text():
    names = np.array(["ill", "well", "ill", "well"])
    X, D = points(names)
    drawn = []
    for labels in (names, names.astype(np.dtypes.StringDType())):
        plt.close("all")
        plot_clustermap(D, labels, bars={"site": labels}, names=labels)
        plot_embedding(X, labels, plt.figure().gca())
        found = [text.get_text() for number in plt.get_fignums() for text in plt.figure(number).findobj(plt.Text)]
        drawn.append(found)
    assert drawn[0] == drawn[1] and {"ill", "well", "site: ill"} <= set(drawn[0])


def lab(colors, blind):
    "CIELAB of sRGB colours as seen by an eye (Machado and others, 2009)."
    rgb = np.array([plt.matplotlib.colors.to_rgb(c) for c in colors])
    rgb = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(blind)
    rgb_to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.clip(rgb, 0, 1) @ np.transpose(rgb_to_xyz) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.column_stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(
    "eye",
    [
        np.eye(3),
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    ],
    ids=["trichromat", "deuteranope", "protanope"],
)
def test_twenty_colours_are_apart_for_every_eye(eye):
    seen = lab(list(class_colors(np.arange(20)).values()), eye)
    assert len(COLORS) == 20 and cdist(seen, seen)[np.triu_indices(20, 1)].min() > 17
    assert cdist(seen, lab(["white"], eye)).min() > 15


def test_classes_beyond_eight_get_another_shape():
    labels = np.repeat(np.arange(27), 3)
    ax = plot_embedding(points(labels)[0], labels)
    drawn = ax.collections[0]
    looks = {(tuple(color), path.vertices.tobytes()) for color, path in zip(drawn.get_facecolors(), drawn.get_paths())}
    assert len(looks) == 27 and len(drawn.get_paths()) == len(labels)
    few = plot_embedding(points(labels[:24])[0], labels[:24], plt.figure().gca()).collections[0]
    assert len({path.vertices.tobytes() for path in few.get_paths()}) == 1


def test_the_marker_asked_for_is_drawn():
    labels = np.arange(10)
    drawn = plot_embedding(points(labels)[0], labels, marker="x", linewidths=1).collections[0]
    assert len({path.vertices.tobytes() for path in drawn.get_paths()}) == 1


@pytest.mark.parametrize("name", ["c", "color", "facecolors"])
def test_a_colour_for_all_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"^{name} "):
        plot_embedding(np.zeros((2, 2)), [0, 1], **{name: "red"})


def test_a_map_of_three_is_refused():
    with pytest.raises(ValueError, match="UMAP needs at least 4 rows, got 3"):
        umap_embedding(np.zeros((3, 3)))


@pytest.mark.parametrize("plot", [plot_clustermap, plot_embedding])
@pytest.mark.parametrize("names", [LONG, np.arange(20), [f"a rather long cell type {i}" for i in range(14)]])
def test_the_legend_stays_in_the_figure(plot, names):
    labels = np.repeat(names, 4)
    X, D = points(labels)
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    for ax in axes:
        plot(D if plot is plot_clustermap else X, labels, ax)
    figure.draw_without_rendering()
    for ax in axes:
        box = ax.get_legend().get_window_extent()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 and 0 <= box.y0 and box.y1 <= figure.bbox.y1
    boxes = [ax.get_legend().get_window_extent() for ax in axes]
    assert boxes[0].x1 <= axes[1].get_window_extent().x0 and not boxes[0].overlaps(boxes[1])
    if plot is plot_embedding:
        assert boxes[1].x0 >= axes[1].get_window_extent().x1 - 1  # beside the points


def test_a_bar_goes_by_position_whatever_its_index():
    "A pandas Series with an index of its own is painted as its values stand."
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(8, 2))
    D = np.linalg.norm(Z[:, None] - Z[None], axis=2)
    values = np.array(list("xxyxyyyx"))  # neither its own reverse, nor that of its opposite
    bars = {"array": values, "series": pd.Series(values, index=np.arange(8)[::-1])}
    ax = plot_clustermap(D, ["a", "b"] * 4, names=[f"HC/{i}" for i in range(8)], bars=bars)
    strips = [child for child in ax.child_axes if child.images and child.get_position().x0 < ax.get_position().x0]
    painted = [strip.images[0].get_array()[:, 0] for strip in strips[-2:]]
    first, second = (np.unique(np.asarray(x), axis=0, return_inverse=True)[1].ravel() for x in painted)
    assert (first == second).all() or (first == 1 - second).all()
    ax.figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert all(not legend.overlaps(c.get_window_extent()) for c in ax.child_axes if c.get_xlabel() == "OT distance")


def test_no_picture_of_the_page_is_cut_at_its_edges(tmp_path):
    "A clustermap with two bars, six entries in its legend and a title: all within, as blank edges show."
    from ggml_nb.shell.figures import Picture, save_picture

    rng = np.random.default_rng(0)
    D, labels = squareform(pdist(rng.normal(size=(38, 3)))), np.arange(38) % 2
    bars = {"batch": np.arange(38) // 19, "held-out answer": np.where(np.arange(38) % 5, "right", "wrong")}
    how = {"title": "GGML: held-out accuracy 0.88", "names": [f"patient {i}" for i in range(38)], "bars": bars}
    save_picture(Picture("map", "", lambda ax: plot_clustermap(D, labels, ax, **how), (5.6, 6)), tmp_path, ("png",))
    image = plt.imread(tmp_path / "map.png")[..., :3]
    assert all((edge == 1).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))
