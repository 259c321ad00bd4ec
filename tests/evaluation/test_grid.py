"""The picture of a grid search shows every setting, and averages none away."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from ggml_nb import plot_grid


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
