"What would have given a wrong answer, or an error that names no argument, is refused or mended."

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import ggml_nb as gg

MODEL = gg.GGML(rank=1, max_epochs=1, random_state=0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def cells():
    return gg.make_scrna(12, n_cells=40, n_genes=60, n_types=2, n_differential=12, seed=0)


@pytest.fixture(scope="module")
def fitted(cells):
    adata = cells.copy()
    gg.fit_anndata(adata, "sample", "label", gene_filter=None, rank=1, max_epochs=1)
    return adata


@pytest.fixture(scope="module")
def data(cells):
    return gg.from_anndata(cells, "sample", "label", gene_filter=None)


@pytest.fixture(scope="module")
def model(data):
    return gg.GGML(rank=1, max_epochs=1, random_state=0).fit(data)


def test_what_is_done_to_patients_or_the_record_is_not_done_to_the_fit(cells):
    adata = cells.copy()
    model = gg.fit_anndata(adata, "sample", "label", gene_filter=None, max_epochs=1)
    patients, W = gg.embed_samples(adata), model.components_.copy()
    patients.X[:] = 0
    patients.obsp["distances"][:] = 0
    adata.uns["ggml"]["components"] *= 2
    assert gg.fitted_distributions(adata).d == 60 and np.array_equal(model.components_, W)
    assert adata.uns["ggml"]["means"].any() and adata.uns["ggml"]["distances"].any()


def test_relevance_lies_at_its_own_cells(cells, data):
    table = gg.cell_relevance(data.subsample(20), MODEL, n_splits=1, k=20)
    plane = pd.DataFrame(np.arange(2 * len(cells)).reshape(-1, 2), cells.obs_names)
    drawn = gg.plot_relevance(plane.sample(frac=1, random_state=0), table).collections[0]
    order = np.argsort(table.accuracy.fillna(0).to_numpy(), kind="stable")
    assert np.array_equal(drawn.get_offsets(), plane.loc[table.index[order]])
    for wrong in (plane.to_numpy(), plane.to_numpy()[:9], np.zeros((240, 3))):
        with pytest.raises(ValueError, match=rf"coordinates must be \(240, 2\) numbers.* got \({len(wrong)}, "):
            gg.plot_relevance(wrong, table)


def test_a_mistake_of_the_caller_is_raised_and_that_of_a_type_noted(cells):
    doubled = cells.copy()
    doubled.obs_names = [f"c{i // 2}" for i in range(len(doubled))]
    keys = "sample", "label", "cell_type"
    for wrong, match in [
        ({"gene_filter": "detectd"}, "gene_filter must be one of"),
        ({"seed": -1}, "seed == -1"),
        ({"model": gg.GGML(rank=-1)}, "rank must be an integer"),
        ({"target": "orderd"}, "target must be one of"),
        ({"adata": doubled}, "obs names must be unique"),
    ]:
        with pytest.raises(ValueError, match=match):
            gg.compare_cell_types(wrong.pop("adata", cells), *keys, n_splits=1, n_permutations=1, **wrong)


def test_points_without_mass_are_no_part_of_a_summary(data):
    N, pad = len(data.sample), np.repeat(np.arange(12), 2)
    points = np.vstack([data.points.toarray(), np.full((24, 60), 100.0)])
    padded = gg.Distributions(points, np.r_[data.sample, pad], data.classes, np.r_[np.ones(N), np.zeros(24)])
    plain = gg.Distributions(points[:N], data.sample, data.classes)
    types = np.r_[np.arange(N) % 2, np.full(24, 7)].astype(str)
    for mine, padded_too in ((3, 3), (types[:N], types)):
        assert np.array_equal(gg.summarize(plain, mine).points, gg.summarize(padded, padded_too).points)


def test_samples_of_the_fit_are_named_where_they_are_placed(fitted, data, model):
    for known, new in ((fitted, fitted[:40].copy()), (model, data.subset([0]))):
        with pytest.warns(UserWarning, match=r"1 new samples are called as .* \('?patient 00'?\).* no test"):
            gg.place_patients(known, new)


def test_a_seed_may_be_a_generator(data):
    found = [gg.make_scrna(4, 5, 20, n_differential=2, seed=np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*(x.X.toarray() for x in found))
    found = [gg.summarize(data, 3, seed=np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*(x.points.toarray() for x in found))


def test_shares_and_tests_do_not_depend_on_the_unit(data):
    W, means = np.random.default_rng(0).normal(size=(2, 5)), gg.sample_means(data).astype(float)
    weight = gg.rank_genes(W).sort_values("gene").weight.to_numpy()
    p_value = gg.pseudobulk_test(means, data.classes).p_value
    for size in (1e160, 1e-170):
        ranking = gg.rank_genes(W * size)
        np.testing.assert_allclose(ranking.sort_values("gene").weight, weight, rtol=1e-12)
        assert np.isfinite(gg.gene_interactions(W * size)).all(axis=None)
        assert all(np.isfinite(bar.get_width()) for bar in gg.plot_genes(ranking, ax=plt.figure().gca()).patches)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(gg.pseudobulk_test(means * size, data.classes).p_value, p_value, rtol=1e-9)


def test_equal_samples_are_explained_by_nothing(model, data):
    twin = data.subset([0, 1])
    twin.points = data.points[np.r_[data.rows(0), data.rows(0)]]
    why = gg.explain_distance(model, *twin.sample_names, distributions=twin)
    left, _ = gg.plot_explanation(why)
    assert why.distance == 0 and all(bar.get_width() == 0 for bar in left.patches)


@pytest.mark.filterwarnings("error")
def test_a_ranking_without_stability_is_drawn_in_silence(model, data):
    assert gg.plot_ranking(gg.rank_genes(model, distributions=data)).collections


def test_columns_of_a_representation_have_one_name_each(cells):
    adata = cells.copy()
    adata.obsm["X_pca"] = pd.DataFrame(adata.X[:, :2].toarray(), adata.obs_names, ["PC", "PC"])
    with pytest.raises(ValueError, match=r"obsm\['X_pca'\] must have unique columns, but 'PC' occurs twice"):
        gg.from_anndata(adata, "sample", "label", use_rep="X_pca")


RANKING = gg.rank_genes(np.eye(3))
SETS = {"a": ["gene 0"]}


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda A, D, G: gg.gene_stability(D, G, n_refits=0), "n_refits == 0"),
        (lambda A, D, G: gg.gene_stability(D, G, n_refits=1, top=-1), "top must be a whole number"),
        (lambda A, D, G: gg.gene_stability(A, G), "must be a Distributions, got AnnData"),
        (lambda A, D, G: gg.gene_stability(D, gg.TunedGGML({"rank": [1]})), "model must be a GGML.*TunedGGML"),
        (lambda A, D, G: gg.gene_stability(D, G, seed="a"), "seed must be a whole number of at least 0.*'a'"),
        (lambda A, D, G: gg.cell_relevance(D, G, seed=-1), "seed must be a whole number of at least 0.*-1"),
        (lambda A, D, G: gg.summarize(D, 3, seed=1.5), "seed must be a whole number of at least 0.*1.5"),
        (lambda A, D, G: gg.make_scrna(4, seed=-1), "seed must be a whole number of at least 0.*-1"),
        (lambda A, D, G: gg.make_scrna(4, effect=np.nan), "effect must be a finite number, got nan"),
        (lambda A, D, G: gg.make_scrna(4, patient_noise=-1), "patient_noise must be .* of at least 0, got -1"),
        (lambda A, D, G: gg.make_scrna(4, severity="x"), "severity must be an instance of int"),
        (lambda A, D, G: gg.cell_relevance(D, G, threshold=np.nan), "threshold must lie between 0 and 1, got nan"),
        (lambda A, D, G: gg.from_anndata(A, "sample", "label", min_cells=np.nan), "min_cells must be .* got nan"),
        (lambda A, D, G: gg.from_anndata(A, "sample", "label", target="orderd"), "target must be one of"),
        (lambda A, D, G: gg.from_anndata(A, "sample", None, target="orderd"), "target must be one of"),
        (lambda A, D, G: gg.embed_samples(A, G), "model cannot be given with an AnnData"),
        (lambda A, D, G: gg.embed_samples(D, "x"), "model must be a fitted GGML, got str"),
        (lambda A, D, G: gg.place_patients(A, A, old="junk"), "old cannot be given with an AnnData"),
        (lambda A, D, G: gg.place_patients(G, D, n_cell=-3), "n_cell cannot be given"),
        (lambda A, D, G: gg.place_patients(G, D, "sample"), "sample_key cannot be given"),
        (lambda A, D, G: gg.place_patients(G, None), "new must be an AnnData, .* got NoneType"),
        (lambda A, D, G: gg.rank_genes(G, feature_names=["x"]), "feature_names and scale are for a bare W"),
        (lambda A, D, G: gg.rank_genes(A, scale="junk"), "feature_names and scale are for a bare W"),
        (lambda A, D, G: gg.rank_genes(np.eye(3), "abc"), "feature_names must have 3 entries"),
        (lambda A, D, G: gg.rank_genes(np.eye(3), scale=[1, np.nan, 1]), "scale must be 3 finite numbers"),
        (lambda A, D, G: gg.plot_genes(None), "ranking must be the DataFrame of rank_genes, got NoneType"),
        (lambda A, D, G: gg.plot_genes(pd.DataFrame({"x": [1]})), "ranking must be .* without gene"),
        (lambda A, D, G: gg.plot_genes(RANKING, top=0), "top must be a whole number"),
        (lambda A, D, G: gg.plot_genes(RANKING, ax=plt.subplots(1, 2)[1]), "ax must be one matplotlib Axes"),
        (lambda A, D, G: gg.plot_ranking("x"), "ranking must be the DataFrame of rank_genes, got str"),
        (lambda A, D, G: gg.plot_ranking(RANKING, top=1.5), "top must be a whole number"),
        (lambda A, D, G: gg.plot_interactions(np.eye(2)), "interactions must be the DataFrame of gene_interactions"),
        (lambda A, D, G: gg.plot_interactions(RANKING), "interactions must be the DataFrame of gene_interactions"),
        (lambda A, D, G: gg.plot_relevance(np.eye(2), []), "relevance must be the DataFrame of cell_relevance"),
        (lambda A, D, G: gg.plot_placement([]), "placement must be the Placement of place_patients, got list"),
        (lambda A, D, G: gg.plot_explanation(np.eye(2)), "why must be the Explanation of explain_distance"),
        (lambda A, D, G: gg.enrich_genes(RANKING, {1: ["gene 0"], "1": ["gene 1"]}), "names that are the same as text"),
        (lambda A, D, G: gg.prerank_genes(RANKING, SETS, seed=-1), "seed == -1"),
        (lambda A, D, G: gg.prerank_genes(RANKING, SETS, permutation_num=0), "permutation_num == 0"),
        (lambda A, D, G: gg.prerank_genes(RANKING.assign(pattern=np.nan), SETS), "pattern of ranking has missing"),
        (lambda A, D, G: gg.pseudobulk_test(np.eye(3), None), "labels must have one value for each of the 3"),
        (lambda A, D, G: gg.pseudobulk_test(np.ma.masked_equal(np.eye(3), 1), [1, 2, 1]), "masked array, whose mask"),
        (lambda A, D, G: gg.pseudobulk_test(np.eye(3), "abc"), "labels must have one value for each of the 3"),
        (lambda A, D, G: gg.pseudobulk_test(np.eye(3), [1, 2, 1], groups=5), "groups must have one value for each"),
    ],
)
def test_it_is_said_which_argument_is_wrong(fitted, data, model, call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call(fitted, data, model)


def test_an_explanation_is_drawn_on_two_axes(model, data):
    why = gg.explain_distance(model, *data.sample_names[:2], distributions=data)
    for axes in (plt.gca(), [1, 2]):
        with pytest.raises(TypeError, match="axes must be two matplotlib Axes|ax must be one"):
            gg.plot_explanation(why, axes)
    with pytest.raises(ValueError, match="top must be"):
        gg.plot_explanation(why, top="3")


def test_cells_left_out_by_where_do_not_count(cells):
    cells = cells.copy()
    cells.obs["quality"] = np.where(np.arange(cells.n_obs) % 3 == 0, "ok", "bad")
    keys, how = ("sample", "label", "cell_type"), {"n_splits": 1, "n_permutations": 2, "gene_filter": None, "least": 3}
    asked = gg.compare_cell_types(cells, *keys, where={"quality": "ok"}, **how)
    pd.testing.assert_frame_equal(asked, gg.compare_cell_types(cells[cells.obs.quality == "ok"].copy(), *keys, **how))


def test_a_gene_is_named_once(cells):
    cells = cells.copy()
    cells.var["symbol"] = [f"S{i}" for i in range(cells.n_vars)]
    genes = [cells.var_names[0], "S5", "S0"]
    with pytest.raises(ValueError, match="'S0' are name and symbol of one gene: keep one"):
        gg.from_anndata(cells, "sample", "label", gene_filter=genes, gene_names="symbol")
