"""The smooth surface of a grid search passes through what was measured and invents no peak."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from ggml_nb import plot_grid
from ggml_nb.evaluation.pictures import surface


def test_surface_keeps_values_and_range():
    table = np.random.default_rng(0).random((3, 5))
    x, y, fine = surface(table, fine=7)
    assert fine.shape == (len(y), len(x)) and np.allclose(fine[::7, ::7], table)
    assert table.min() - 1e-12 <= fine.min() and fine.max() <= table.max() + 1e-12


def test_plot_grid_smooth_labels_the_settings_and_refuses_a_line():
    rows = [{"margin": m, "reg": r, "accuracy": m * r} for m in (0.1, 1, 10) for r in (0.0, 0.5)]
    ax = plot_grid(pd.DataFrame(rows), "margin", "reg", ax=plt.figure().gca(), smooth=True)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.1", "1", "10"]
    assert len(ax.collections[-1].get_offsets()) == len(rows)
    with pytest.raises(ValueError, match="smooth=True"):
        plot_grid(pd.DataFrame(rows[:2]), "margin", "reg", ax=plt.figure().gca(), smooth=True)
    plt.close("all")


@pytest.fixture
def ax():
    yield plt.figure().gca()
    plt.close("all")


def test_none_third_digits_and_missing_settings(ax):
    rows = [{"tol": t, "metric": m, "accuracy": 0.5} for t in (1 / 3, None, 1e-6) for m in ("diagonal", None)]
    plot_grid(pd.DataFrame(rows[:-1]), "tol", "metric", ax=ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1e-06", "0.333", "None"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["diagonal", "None"]
    assert [text.get_text() for text in ax.texts] == ["0.50"] * 5  # and no "nan" for the sixth
    with pytest.raises(ValueError, match="every combination, got 1 without"):
        plot_grid(pd.DataFrame(rows[:-1]), "tol", "metric", ax=ax, smooth=True)


def test_settings_without_an_order_are_shown(ax):
    metrics = [torch.nn.Linear(3, 1), torch.nn.Linear(3, 2)]
    rows = [{"rank": r, "metric": m, "accuracy": r / 9} for r in (10, 2) for m in metrics]
    plot_grid(pd.DataFrame(rows), "rank", "metric", ax=ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "10"] and len(ax.texts) == 4


def test_a_third_parameter_is_not_averaged(ax):
    rows = [{"rank": r, "lr": lr, "reg": reg, "accuracy": reg} for r in (1, 2) for lr in (1, 2) for reg in (0, 1)]
    grid = pd.DataFrame(rows)
    with pytest.raises(ValueError, match=r"also varies \['reg'\], .* select rows"):
        plot_grid(grid, "rank", "lr", ax=ax)
    plot_grid(grid[grid.reg == 1], "rank", "lr", ax=ax)
    assert {text.get_text() for text in ax.texts} == {"1.00"}
    repeated = pd.concat([grid.assign(split=s) for s in range(2)])  # splits may be averaged
    plot_grid(repeated[repeated.reg == 0], "rank", "lr", ax=ax)


def test_an_unknown_column_is_named(ax):
    grid = pd.DataFrame([{"rank": 1, "lr": 2, "accuracy": 0.5}])
    for x, y, value in (("rnk", "lr", "accuracy"), ("rank", "rnk", "accuracy"), ("rank", "lr", "rnk")):
        with pytest.raises(ValueError, match=r"no column \['rnk'\], its columns are \['rank', 'lr', 'accuracy'\]"):
            plot_grid(grid, x, y, value, ax=ax)
