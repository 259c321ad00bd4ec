"""The smooth surface of a grid search passes through what was measured and invents no peak."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ggml_nb import plot_grid
from ggml_nb.evaluation import surface


def test_surface_keeps_values_and_range():
    table = np.random.default_rng(0).random((3, 5))
    x, y, fine = surface(table, fine=7)
    assert fine.shape == (len(y), len(x)) and np.allclose(fine[::7, ::7], table)
    assert table.min() - 1e-12 <= fine.min() and fine.max() <= table.max() + 1e-12


def test_plot_grid_smooth_labels_the_settings_and_refuses_a_line():
    rows = [{"margin": m, "reg": r, "accuracy": m * r} for m in (0.1, 1, 10) for r in (0.0, 0.5)]
    ax = plot_grid(pd.DataFrame(rows), "margin", "reg", ax=plt.figure().gca(), smooth=True)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.1", "1.0", "10.0"]
    assert len(ax.collections[-1].get_offsets()) == len(rows)
    with pytest.raises(ValueError, match="smooth=True"):
        plot_grid(pd.DataFrame(rows[:2]), "margin", "reg", ax=plt.figure().gca(), smooth=True)
    plt.close("all")
