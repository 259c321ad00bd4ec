"""Global Ground Metric Learning: learn the metric between points under which optimal transport tells distributions apart."""

__version__ = "0.1.0"

from ggml_nb.cells.relevance import blend_euclidean, cell_relevance, plot_blend, plot_relevance, summarize, summary_error
from ggml_nb.evaluation.chance import confidence_interval, permutation_test
from ggml_nb.evaluation.comparison import compare_metrics
from ggml_nb.method.distributions import Distributions
from ggml_nb.shell.download import download_cellxgene
from ggml_nb.evaluation.evaluation import (
    clustering_scores,
    cross_validate,
    knn_score,
    split_distributions,
)
from ggml_nb.cells.genes import (
    gene_stability,
    plot_genes,
    plot_ranking,
    pseudobulk_test,
    rank_genes,
)
from ggml_nb.method.loss import ggml_loss, regularizer, triplet_loss
from ggml_nb.method.mahalanobis import interpolate, low_rank, mahalanobis_cdist, mahalanobis_matrix, plot_ellipse, project
from ggml_nb.solver.pairs import PairwiseTransport, pair_costs, pairwise_wasserstein
from ggml_nb.cells.pathways import enrich_genes, enrich_gprofiler, gene_interactions, plot_interactions
from ggml_nb.cells.patients import place_patients, plot_placement
from ggml_nb.evaluation.pictures import plot_clustermap, plot_embedding, plot_grid
from ggml_nb.cells.scrna import fit_anndata, fitted_distributions, from_anndata, sample_means
from ggml_nb.cells.simulation import make_scrna
from ggml_nb.method.synthetic import make_distributions
from ggml_nb.estimator.estimator import GGML
from ggml_nb.method.training import train_ggml
from ggml_nb.method.transport import OTResult, wasserstein
from ggml_nb.method.triplets import all_triplets, make_triplets, unique_pairs
from ggml_nb.evaluation.tuning import TunedGGML, grid_search
