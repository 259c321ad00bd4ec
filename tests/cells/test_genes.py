"""The ranked list: its columns, its stability, its interactions, gene sets."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import f_oneway, false_discovery_control, hypergeom, ttest_ind, ttest_rel
from scipy.stats import t as t_distribution

from ggml_nb import (
    GGML,
    Distributions,
    enrich_genes,
    enrich_gprofiler,
    fit_anndata,
    fitted_distributions,
    from_anndata,
    gene_interactions,
    make_scrna,
    plot_genes,
    prerank_genes,
    pseudobulk_test,
    rank_genes,
    sample_means,
)
from ggml_nb.cells.genes import donor_half, gene_stability, turned


@pytest.fixture(scope="module")
def fitted():
    adata = make_scrna(16, 80, 600, n_differential=40, effect=2.5, seed=2)
    return adata, fit_anndata(adata, "sample", "label", n_cells=60)


def test_stable_genes_are_true(fitted):
    adata, model = fitted
    D = fitted_distributions(adata)
    ranking = rank_genes(model, distributions=D, n_refits=20, seed=1)
    true = adata.var.differential[ranking.gene].to_numpy()
    stable = (ranking.stability >= 0.8).to_numpy()
    assert stable.sum() >= 8 and true[stable].mean() >= 0.8
    assert np.isclose(ranking.stability.sum(), 50)  # fifty places in each refit
    assert true[stable].mean() > true[~stable].mean() + 0.5
    few, others = (rank_genes(adata, n_refits=4, seed=seed) for seed in (1, 2))
    pd.testing.assert_frame_equal(few, rank_genes(model, distributions=D, n_refits=4, seed=1), rtol=1e-3)
    assert not np.array_equal(few.stability, others.stability)


def test_direction_is_that_of_means_and_the_rivals_test_that_of_scipy(fitted):
    adata, model = fitted
    D, ranking = fitted_distributions(adata), rank_genes(adata).set_index("gene")
    means = np.stack([np.asarray(D[i].mean(axis=0, dtype=float)).ravel() for i in range(len(D))])
    ill = D.classes == "diseased"
    p = np.nan_to_num(ttest_ind(means[ill], means[~ill]).pvalue, nan=1)
    tested = pseudobulk_test(means, D.classes).set_index(D.feature_names).loc[ranking.index]
    assert np.allclose(pd.Series(p, D.feature_names)[ranking.index], tested.p_value, rtol=1e-3)
    gap = pd.Series(means[ill].mean(axis=0) - means[~ill].mean(axis=0), D.feature_names)[ranking.index]
    assert np.array_equal(np.where(gap > 0, "diseased", "healthy"), ranking.higher_in)
    assert (tested.higher_in == ranking.higher_in).all() and np.allclose(
        tested.difference, ranking.difference, atol=1e-5
    )
    assert np.allclose(abs(gap), ranking.difference, atol=1e-5)


def test_genes_are_ordered_by_pattern_and_surer_than_by_a_test_of_means(fitted):
    adata, model = fitted
    ranking, true = rank_genes(adata), adata.var.differential
    assert (ranking.pattern.abs().diff()[1:] <= 0).all() and np.isclose(ranking.weight.sum(), 1)
    assert np.allclose(ranking.fdr, false_discovery_control(ranking.p_value, method="by"))
    D = fitted_distributions(adata)
    by_test = D.feature_names[np.argsort(pseudobulk_test(sample_means(D), D.classes).p_value)]
    found, rival = true[ranking.gene[:40]].mean(), true[by_test[:40]].mean()
    assert found >= 0.85 and found >= rival
    sure = ranking.gene[ranking.fdr < 0.1]
    assert len(sure) >= 20 and true[sure].mean() >= 0.85
    strong = ranking[:20]  # two classes: the sign is the direction
    assert ((strong.pattern > 0) == (strong.higher_in == "healthy")).mean() >= 0.9


def test_patterns_are_kept_with_the_metric(fitted, tmp_path):
    adata, model = fitted
    model.save(tmp_path / "metric.npz")
    columns = ["gene", "weight", "pattern", "pattern_1", "p_value", "fdr"]
    loaded = rank_genes(GGML.load(tmp_path / "metric.npz"))
    pd.testing.assert_frame_equal(loaded[columns], rank_genes(adata)[columns])
    assert list(loaded.higher_in) == list(rank_genes(adata).higher_in)
    assert not {"pattern", "higher_in"} & set(rank_genes(model.components_))
    again = GGML(random_state=0, max_epochs=1).fit(fitted_distributions(adata))
    again.patterns_ = model.patterns_
    assert not hasattr(again.fit(fitted_distributions(adata)), "patterns_")  # of an earlier fit


def test_a_diagonal_metric_has_patterns_too():
    adata = make_scrna(16, 60, 120, n_differential=10, effect=3, seed=0)
    adata.X = adata.X.toarray()
    fit_anndata(adata, "sample", "label", gene_filter=None, metric="diagonal", max_epochs=1)
    ranking = rank_genes(adata)
    assert adata.var.differential[ranking.gene[:10]].mean() >= 0.5 and "pattern_1" not in ranking


def test_without_signal_no_gene_is_sure():
    lists = []
    for seed in range(4):
        adata = make_scrna(10, 30, 150, n_differential=10, effect=0, seed=seed)
        fit_anndata(adata, "sample", "label", gene_filter=None, max_epochs=1)
        lists.append(rank_genes(adata))
    assert sum((table.fdr < 0.1).any() for table in lists) <= 1
    assert 0.002 < np.mean([(table.p_value < 0.01).mean() for table in lists]) < 0.03


def test_samples_of_one_donor_count_once():
    rng = np.random.default_rng(0)
    labels, means = np.repeat(["a", "b", "c"], 4), rng.normal(size=(12, 5))
    want = f_oneway(means[:4], means[4:8], means[8:]).pvalue
    assert np.allclose(pseudobulk_test(means, labels).p_value, want)
    twice = pseudobulk_test(np.repeat(means, 3, axis=0), np.repeat(labels, 3), np.repeat(np.arange(12), 3))
    assert np.allclose(twice.p_value, want)
    constant = pseudobulk_test(np.ones((12, 1)), labels)
    assert constant.p_value[0] == 1 and constant.fdr[0] == 1


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_donors_with_all_classes_are_blocks(names):
    rng, donors = np.random.default_rng(0), 7
    means = (5 * rng.normal(size=(donors, 1, 4)) + rng.normal(size=(donors, len(names), 4))).reshape(-1, 4)
    labels, groups = np.tile(list(names), donors), np.repeat(np.arange(donors), len(names))
    donor, label = np.eye(donors)[groups], (labels[:, None] == list(names)).astype(float)
    rest = []  # residual sums of squares of least squares without and with the class
    for design in (donor, np.hstack([donor, label])):
        rest.append(((means - design @ np.linalg.lstsq(design, means, rcond=None)[0]) ** 2).sum(axis=0))
    classes, free = len(names) - 1, (len(names) - 1) * (donors - 1)
    want = f_distribution.sf((rest[0] - rest[1]) / classes / (rest[1] / free), classes, free)
    table = pseudobulk_test(means, labels, groups)
    assert np.allclose(table.p_value, want) and (table.p_value < pseudobulk_test(means, labels).p_value).sum() >= 3


def test_an_incomplete_pair_is_dropped_aloud():
    rng, donors = np.random.default_rng(0), 7
    means, labels = rng.normal(size=(2 * donors, 4)), np.tile(["a", "b"], donors)
    groups = np.repeat(np.arange(donors), 2)
    with pytest.warns(UserWarning, match="donors 6 lack a class and are left out of the paired test"):
        table = pseudobulk_test(means[:-1], labels[:-1], groups[:-1])
    pair = means[:-2].reshape(donors - 1, 2, 4)
    assert np.allclose(table.p_value, ttest_rel(pair[:, 0], pair[:, 1]).pvalue)
    assert table.attrs["test"] == "paired within donors"
    lone = np.array([0, 0, *range(1, 13)])  # one pair among twelve others
    with pytest.warns(UserWarning, match="counted as independent"):
        table = pseudobulk_test(means, labels, lone)
    assert table.attrs["test"] == "between donors"
    assert np.allclose(table.p_value, ttest_ind(means[::2], means[1::2]).pvalue)


def test_the_batch_is_a_term():
    rng = np.random.default_rng(0)
    labels, batches = np.repeat(["a", "b", "c"], 8), np.tile(["x", "x", "y"], 8)
    means = rng.normal(size=(24, 5)) + 4 * (batches == "y")[:, None]
    table = pseudobulk_test(means, labels, batches=batches)
    assert table.attrs["test"] == "between donors, batch as a term"
    both = np.column_stack([np.ones(24), batches == "y", labels == "b", labels == "c"]).astype(float)
    rest = [((means - X @ np.linalg.lstsq(X, means, rcond=None)[0]) ** 2).sum(axis=0) for X in (both[:, :2], both)]
    assert np.allclose(table.p_value, f_distribution.sf((rest[0] - rest[1]) / 2 / (rest[1] / 20), 2, 20))
    assert (table.p_value < pseudobulk_test(means, labels).p_value).sum() >= 3
    with pytest.raises(ValueError, match="batches tell the classes"):
        pseudobulk_test(means, labels, batches=labels)
    two = pseudobulk_test(means[:16], labels[:16], batches=batches[:16])  # one term of interest: t squared is F
    X = np.column_stack([np.ones(16), batches[:16] == "y", labels[:16] == "b"]).astype(float)
    effect, noise = np.linalg.lstsq(X, means[:16], rcond=None)[:2]
    t = effect[2] / np.sqrt(noise / 13 * np.linalg.inv(X.T @ X)[2, 2])
    assert np.allclose(two.p_value, 2 * t_distribution.sf(abs(t), 13)) and np.allclose(two.difference, abs(effect[2]))


def test_halves_keep_donors_whole_and_classes_present():
    D = from_anndata(make_scrna(12, 5, 30, n_differential=5), "sample", "label", min_cells=1, gene_filter=None)
    rng = np.random.default_rng(0)
    for _ in range(5):
        half = donor_half(D, rng)
        assert len(half) == 6 and np.bincount(D.labels[half]).tolist() == [3, 3]
    D.groups = np.repeat(np.arange(6), 2)
    half = donor_half(D, rng)
    assert all(np.isin(np.flatnonzero(D.groups == g), half).all() for g in D.groups[half])


@pytest.mark.parametrize("top", [1, 7, 50])
def test_interactions_are_entries_of_the_matrix(top):
    rng = np.random.default_rng(top)
    W, scale = rng.normal(size=(3, 40)), rng.uniform(1, 9, 40)
    M = scale[:, None] * (W.T @ W) * scale
    table = gene_interactions(W, range(40), scale, top=top)
    want = pd.DataFrame(M / np.trace(M)).loc[table.index, table.columns]
    assert table.shape == (min(top, 40),) * 2 and np.allclose(table, want)


def test_interactions_need_no_square_matrix():
    "d x d would be 80 GB."
    table = gene_interactions(np.random.default_rng(0).normal(size=(2, 100_000)), top=5)
    assert table.shape == (5, 5)


def test_gene_sets_agree_with_gseapy(fitted):
    gseapy = pytest.importorskip("gseapy")
    ranking = rank_genes(fitted[1])
    rng = np.random.default_rng(0)
    sets = {f"set {i}": list(rng.choice(ranking.gene, 30, replace=False)) for i in range(5)}
    sets["head"] = list(ranking.gene[:20])
    ours = enrich_genes(ranking, sets, top=30).set_index("gene_set")
    result = gseapy.enrich(list(ranking.gene[:30]), sets, background=list(ranking.gene), outdir=None).results
    result = result.set_index("Term")
    assert np.allclose(result["P-value"].astype(float), ours.p_value[result.index], rtol=1e-9, atol=0)
    assert ours.index[0] == "head"


def test_enrichment_is_the_hypergeometric_test_of_every_set(fitted):
    "Sets without a hit count in the correction; genes that were not ranked do not count in a set."
    ranking, rng = rank_genes(fitted[1]), np.random.default_rng(1)
    sets = {f"set {i}": [*rng.choice(ranking.gene, 40, replace=False), "TP53"] for i in range(6)}
    sets |= {"none": list(ranking.gene[-9:]), "unknown": ["TP53"]}
    table = enrich_genes(ranking, sets, top=25).set_index("gene_set")
    assert list(table.columns) == ["overlap", "size", "p_value", "fdr", "genes"]
    assert set(table.index) == set(sets) - {"unknown"} and table.overlap["none"] == 0
    for name, row in table.iterrows():
        genes = ranking.gene.isin(sets[name])
        assert (row.overlap, row["size"]) == (genes[:25].sum(), genes.sum())
        want = hypergeom.sf(row.overlap - 1, len(ranking), row["size"], 25)
        assert np.isclose(row.p_value, want, rtol=1e-9, atol=0)
        assert row.genes == " ".join(sorted(ranking.gene[:25][genes[:25]]))
    assert np.allclose(table.fdr, false_discovery_control(table.p_value))
    with pytest.raises(ValueError, match="gene_sets share no gene with the ranking"):
        enrich_genes(ranking, {"unknown": ["TP53"]})


def walk(weight, inside):
    "The enrichment score of Subramanian and others, step by step."
    order, P, farthest = np.argsort(-weight, kind="stable"), 0.0, 0.0
    for g in order:
        P += abs(weight[g]) / abs(weight[inside]).sum() if inside[g] else -1 / (~inside).sum()
        farthest = P if abs(P) > abs(farthest) else farthest
    return farthest


@pytest.mark.parametrize("names", ["gene", "mixed case", "numbers"])
def test_prerank_finds_the_ends_of_an_axis(names):
    pytest.importorskip("gseapy")
    rng = np.random.default_rng(0)
    kinds = {"gene": "gene {}", "mixed case": "Gene{}a", "numbers": "{}"}
    genes = np.array([kinds[names].format(i) for i in range(200)])
    weight = rng.normal(size=200)
    weight[:20], weight[20:40] = weight[:20] + 2, weight[20:40] - 2
    ranking = pd.DataFrame({"gene": genes, "axis_1": rng.normal(size=200), "axis_2": weight})
    sets = {"up": genes[:20], "down": genes[20:40], "any": genes[::9], "one": genes[:1], "not here": ["x"]}
    table = prerank_genes(ranking, sets, axis=2)
    assert list(table.columns) == ["gene_set", "es", "nes", "p_value", "fdr", "genes"]
    assert set(table.gene_set) == set(sets) - {"not here"} and table.nes.abs().is_monotonic_decreasing
    pd.testing.assert_frame_equal(table, prerank_genes(ranking.sample(frac=1, random_state=0), sets, axis=2))
    table = table.set_index("gene_set")
    for name, row in table.iterrows():
        assert np.isclose(row.es, walk(weight, np.isin(genes, sets[name])))
        leading = row.genes.replace("gene ", "gene_").split()
        assert leading and set(leading) <= {g.replace(" ", "_") for g in sets[name]}
    assert table.nes["up"] > 1.5 and table.nes["down"] < -1.5 and table.p_value[["up", "down"]].max() < 0.01
    assert table.p_value["any"] > 0.05


def test_prerank_says_what_is_missing(fitted, monkeypatch):
    ranking = rank_genes(fitted[1])
    sets = {"a": list(ranking.gene[:9])}
    with pytest.raises(ValueError, match="axis must be the number of one of the columns axis_1, .*, got 9"):
        prerank_genes(ranking, sets, axis=9)
    with pytest.raises(ValueError, match="gene_sets share no gene with the ranking"):
        prerank_genes(ranking, {"a": ["TP53"]})
    monkeypatch.setitem(sys.modules, "gseapy", None)
    with pytest.raises(ImportError, match=r"pip install 'ggml_nb\[scrna\]'"):
        prerank_genes(ranking, sets)
    assert len(enrich_genes(ranking, sets)) == 1  # needs no extra
    monkeypatch.undo()
    pytest.importorskip("gseapy")
    with pytest.raises(ValueError, match="no set has from min_size to max_size genes"):
        prerank_genes(ranking, sets, min_size=15)


@pytest.mark.parametrize("top", [0, -3, 2.5, "10", None, True])
def test_top_is_a_positive_whole_number(fitted, top):
    for call in (enrich_genes, rank_genes, gene_interactions):
        first = (rank_genes(fitted[1]), {"a": ["gene 0001"]}) if call is enrich_genes else (fitted[1],)
        with pytest.raises(ValueError, match="top must be a whole number"):
            call(*first, top=top)


def test_the_head_is_half_of_a_small_panel_at_most():
    "Of 21 genes all would be among the top 50: every one stable, and no set over-represented."
    panel = make_scrna(12, 30, 21, n_types=2, n_differential=3, effect=3, seed=0)
    fit_anndata(panel, "sample", "label", gene_filter=None, max_epochs=1)
    table = rank_genes(panel, n_refits=3)
    assert np.isclose(table.stability.sum(), 11) and table.stability.min() < 1
    found = enrich_genes(table, {"head": list(table.gene[:5]), "all": list(table.gene)}).set_index("gene_set")
    assert found.overlap["all"] == 11 and found.p_value["head"] < 0.05


@pytest.mark.parametrize("genes", [5, "gene 0001"])
def test_a_gene_set_is_a_list(fitted, genes):
    with pytest.raises(TypeError, match=r"gene_sets\['a'\] must be a list of genes"):
        enrich_genes(rank_genes(fitted[1]), {"a": genes})


@pytest.mark.parametrize("content", [bytes(range(256)), b"", b"a set\n"])
def test_a_file_that_is_no_gmt_is_said(fitted, tmp_path, content):
    (tmp_path / "sets.gmt").write_bytes(content)
    with pytest.raises(ValueError, match="is not a GMT file"):
        enrich_genes(rank_genes(fitted[1]), tmp_path / "sets.gmt")


def test_enrichment_is_of_a_ranking_and_sets_have_one_name(fitted, tmp_path):
    with pytest.raises(TypeError, match="ranking must be the DataFrame of rank_genes, got AnnData"):
        enrich_genes(fitted[0], tmp_path / "nowhere.gmt")
    (tmp_path / "sets.gmt").write_text("one\t-\tgene 0001\none\t-\tgene 0002\n")
    with pytest.raises(ValueError, match="the gene set 'one' occurs twice"):
        enrich_genes(rank_genes(fitted[1]), tmp_path / "sets.gmt")


def test_what_is_missing_is_said(fitted):
    adata, model = fitted
    with pytest.raises(KeyError, match="run fit_anndata first"):
        rank_genes(make_scrna(4, 5, 30, n_differential=5))
    with pytest.raises(ValueError, match="n_refits needs"):
        rank_genes(model, n_refits=3)
    with pytest.raises(ValueError, match="features of the metric"):
        rank_genes(model, distributions=from_anndata(adata, "sample", "label", gene_filter=None))
    with pytest.raises(ValueError, match="n_refits needs"):
        rank_genes(model.components_, n_refits=3)
    assert "p_value" not in rank_genes(GGML(random_state=0).fit(fitted_distributions(adata)))


@pytest.fixture
def gprofiler():
    "A server on this machine that answers like g:Profiler, and what it was asked."
    import json
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            rows = [
                {
                    "name": "growth",
                    "source": "GO:BP",
                    "native": "GO:1",
                    "intersection_size": 3,
                    "term_size": 9,
                    "p_value": 0.04,
                },
                {
                    "name": "repair",
                    "source": "REAC",
                    "native": "R:2",
                    "intersection_size": 4,
                    "term_size": 5,
                    "p_value": 0.001,
                },
            ]
            status = 200 if asked[-1]["organism"] == "hsapiens" else 400
            answer = {
                "result": rows,
                "meta": {"query_metadata": {"queries": {"query_1": []}}},
                "message": "no such organism",
            }
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def test_gprofiler(gprofiler):
    pytest.importorskip("gprofiler")
    url, asked = gprofiler
    ranking = pd.DataFrame({"gene": [f"gene {i}" for i in range(30)], "weight": np.linspace(1, 0, 30)})
    table = enrich_gprofiler(ranking, top=10, url=url, sources=["GO:BP"])
    assert table.gene_set.tolist() == ["repair", "growth"] and table.overlap.tolist() == [4, 3]
    assert asked[0]["query"] == ranking.gene[:10].tolist() and asked[0]["background"] == ranking.gene.tolist()
    assert asked[0]["domain_scope"] == "custom" and asked[0]["sources"] == ["GO:BP"]
    with pytest.raises(ConnectionError, match="no such organism"):
        enrich_gprofiler(ranking, organism="unicorn", url=url)
    with pytest.raises(ConnectionError, match="enrich_genes tests a GMT file offline"):
        enrich_gprofiler(ranking, url="http://127.0.0.1:9")


def test_genes_that_the_metric_leaves_out_are_not_enriched():
    "An L1 fit leaves most genes at exactly 0; their order in the file must not look like a pathway."
    table = pd.DataFrame({"gene": [f"g{i}" for i in range(60)], "weight": [1.0] + [0.0] * 59})
    enriched = enrich_genes(table, {"first": [f"g{i}" for i in range(1, 21)], "true": ["g0"]}, top=20)
    assert enriched.set_index("gene_set").overlap.to_dict() == {"true": 1, "first": 0}


def test_genes_that_no_refit_uses_are_not_stable():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(15, 30)) + 3 * (i % 2) * (np.arange(30) == 29) for i in range(24)]
    data = Distributions.from_list(clouds, np.arange(24) % 2)
    model = GGML(reg=0.3, reg_norm="l1", random_state=0)
    used = np.zeros(30, bool)
    draws = np.random.default_rng(0)  # the same halves
    for _ in range(3):
        used |= (model.fit(data.subset(donor_half(data, draws))).components_ != 0).any(axis=0)
    stable = gene_stability(data, model, n_refits=3, top=15, seed=0)
    assert stable[29] == 1 and not used.all() and (stable[~used] == 0).all()


def test_a_metric_file_knows_symbols_and_directions(tmp_path):
    adata = make_scrna(8, 20, 60, n_types=2, n_differential=6, seed=0)
    adata.var["feature_name"] = [f"S{i}" for i in range(60)]
    model = fit_anndata(adata, "sample", "label", max_epochs=1)
    model.save(tmp_path / "metric.npz")
    there, here = rank_genes(adata), rank_genes(GGML.load(tmp_path / "metric.npz"))
    columns = ["gene", "symbol", "weight", "pattern", "p_value", "fdr", "higher_in", "difference"]
    pd.testing.assert_frame_equal(here[columns], there[columns], rtol=1e-5, check_dtype=False)
    arrays = dict(np.load(tmp_path / "metric.npz"))
    np.savez(tmp_path / "short.npz", **arrays | {"genes_symbol": arrays["genes_symbol"][1:]})
    with pytest.raises(ValueError, match="genes_symbol must have 60 entries, one for each feature"):
        GGML.load(tmp_path / "short.npz")


def test_gene_sets_match_ids_or_symbols():
    "Files of CELLxGENE have Ensembl ids for names and symbols beside them, some twice."
    ids = [f"ENSG{i:05d}" for i in range(40)]
    symbols = [f"S{i}" for i in range(39)] + ["S0"]
    ranking = pd.DataFrame({"gene": ids, "symbol": symbols, "weight": 0.025, "pattern": np.arange(40, 0, -1.0)})
    by_symbol = enrich_genes(ranking, {"head": [f"S{i}" for i in range(8)], "tail": ["S30", "S31"]}, top=8)
    by_id = enrich_genes(ranking[:39], {"head": ids[:8], "tail": ids[30:32]}, top=8)
    assert by_symbol.gene_set[0] == "head" and by_symbol.genes[0].split() == [f"S{i}" for i in range(8)]
    assert np.allclose(by_symbol.p_value, by_id.p_value) and by_symbol["size"].tolist() == by_id["size"].tolist()
    with pytest.raises(ValueError, match="genes such as ENSG00000 and symbols such as S0; the sets .* other"):
        enrich_genes(ranking, {"none": ["other"]})


def test_of_two_classes_the_pattern_is_positive_where_the_second_is_higher(fitted):
    ranking = rank_genes(fitted[0])
    second = sorted(ranking.higher_in.unique())[1]
    head = ranking.head(10)
    assert ((head.pattern > 0) == (head.higher_in == second)).mean() > 0.7
    about = {"higher_in": ranking.higher_in.to_numpy(), "difference": ranking.difference.to_numpy()}
    pattern = ranking.pattern.to_numpy()
    assert np.array_equal(turned(-pattern, about), pattern) and np.array_equal(turned(pattern, about), pattern)


@pytest.mark.parametrize("names", [np.array([0, 1]), np.array([False, True])])
def test_the_class_of_more_keeps_its_type(names, tmp_path):
    adata = make_scrna(16, 30, 40, n_differential=5)
    adata.obs["label"] = names[(adata.obs.label == "diseased").to_numpy().astype(int)]
    model = fit_anndata(adata, "sample", "label")
    model.save(tmp_path / "metric.npz")
    for source in (adata, model, GGML.load(tmp_path / "metric.npz")):
        assert set(rank_genes(source).higher_in) == set(names.tolist())
    assert set(pseudobulk_test(np.random.default_rng(0).normal(size=(16, 9)), np.tile(names, 8)).higher_in) <= set(
        names
    )
    plot_genes(rank_genes(adata))


def test_numbers_are_no_classes():
    "Severity is a number of its own for each of 24 patients: one gene rises with it."
    rng = np.random.default_rng(1)
    severity = rng.uniform(0, 10, 24).round(1)
    clouds = [rng.normal(size=(20, 30)) + 0.3 * rng.normal(size=30) + 0.4 * s * np.eye(30)[0] for s in severity]
    data = Distributions.from_list(clouds, severity)
    table = rank_genes(GGML(target="ordered", random_state=0).fit(data), distributions=data)
    assert table.gene[0] == "0" and table.p_value[0] < 1e-4 and (table.p_value[1:] < 0.05).mean() < 0.15
    assert " to " in table.higher_in[0]


def test_donors_that_changed_after_the_fit_are_refused():
    adata = make_scrna(8, 12, 20, n_types=2, n_differential=4, seed=0)
    adata.obs["donor"] = adata.obs["sample"].astype(str)
    fit_anndata(adata, "sample", "label", group_key="donor", max_epochs=1, gene_filter=None)
    assert len(set(fitted_distributions(adata).donors)) == 8
    adata.obs["donor"] = "all"
    with pytest.raises(ValueError, match=r"obs\['donor'\] has changed since the fit"):
        fitted_distributions(adata)


def test_the_direction_of_a_gene_is_not_that_of_the_batch():
    "Three ill samples of eighteen are of the first batch: plain means of the classes are mostly those of the batches."
    how = {"n_types": 4, "n_differential": 40, "batches": ["v2", "v3"], "confounding": [[15, 2], [3, 18]]}
    adata = make_scrna(24, 60, 500, batch_effect=0.6, seed=0, **how)
    fit_anndata(adata, "sample", "label", group_key="donor", batch_key="batch", max_epochs=1)
    head = rank_genes(adata).head(30)
    head = head[adata.var.differential[head.gene].to_numpy()]
    assert len(head) >= 25 and ((head.pattern > 0) == (head.higher_in == "healthy")).all()
    data = fitted_distributions(adata)
    tested = pseudobulk_test(sample_means(data), data.classes, data.groups, data.batches).set_index(data.feature_names)
    assert (tested.higher_in[head.gene].to_numpy() == head.higher_in.to_numpy()).all()
