"""Global Ground Metric Learning: learn the metric between points under which optimal transport tells distributions apart."""

__version__ = "0.1.0"

import importlib

# Public names by their home. A home is imported when one of its names is first used: `import ggml_nb` loads no torch.
_HOMES = {
    "method.distributions": "Distributions",
    "method.loss": "ggml_loss regularizer triplet_loss",
    "method.mahalanobis": "interpolate low_rank mahalanobis_cdist mahalanobis_matrix plot_ellipse project",
    "method.synthetic": "make_distributions",
    "method.training": "PAPER train_ggml",
    "method.transport": "OTResult ground_distances wasserstein",
    "method.triplets": "all_triplets make_triplets unique_pairs",
    "solver.layer": "transport_cost",
    "solver.pairs": "PairwiseTransport pair_costs pairwise_wasserstein",
    "solver.sinkhorn": "SinkhornTransport",
    "estimator.estimator": "GGML",
    "estimator.patterns": "feature_patterns",
    "evaluation.chance": "accuracy_interval confidence_interval majority_answers permutation_test spearman_interval",
    "evaluation.comparison": "compare_metrics",
    "evaluation.evaluation": "clustering_scores cross_validate knn_score split_distributions",
    "evaluation.pictures": "plot_clustermap plot_embedding representation_scores",
    "evaluation.tuning": "TunedGGML grid_search plot_grid",
    "cells.genes": "gene_stability plot_genes plot_ranking pseudobulk_test rank_genes",
    "cells.pathways": "enrich_genes enrich_gprofiler gene_interactions plot_interactions prerank_genes",
    "cells.maps": "embed_samples",
    "cells.patients": "place_patients plot_placement",
    "cells.relevance": "cell_relevance compare_cell_types explain_distance plot_explanation plot_relevance summarize summary_error",
    "cells.scrna": "fit_anndata fitted_distributions from_anndata project_anndata sample_means",
    "cells.simulation": "make_scrna",
    "shell.download": "download_cellxgene",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'ggml_nb' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"ggml_nb.{_HOME[name]}"), name)
    if callable(value):
        from ggml_nb._help import describe

        describe(value)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
