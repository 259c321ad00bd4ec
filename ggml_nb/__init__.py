"""Global Ground Metric Learning: learn the metric between points under which optimal transport tells distributions apart."""

__version__ = "0.1.0"

from ggml_nb.cells import blend_euclidean, cell_relevance, plot_blend, plot_relevance, summarize, summary_error
from ggml_nb.chance import confidence_interval, permutation_test
from ggml_nb.comparison import compare_metrics
from ggml_nb.distributions import Distributions
from ggml_nb.download import download_cellxgene
from ggml_nb.evaluation import (
    clustering_scores,
    cross_validate,
    knn_score,
    split_distributions,
)
from ggml_nb.genes import (
    gene_stability,
    plot_genes,
    plot_ranking,
    pseudobulk_test,
    rank_genes,
)
from ggml_nb.loss import ggml_loss, regularizer, triplet_loss
from ggml_nb.mahalanobis import interpolate, low_rank, mahalanobis_cdist, mahalanobis_matrix, plot_ellipse, project
from ggml_nb.pairs import PairwiseTransport, pair_costs, pairwise_wasserstein
from ggml_nb.pathways import enrich_genes, enrich_gprofiler, gene_interactions, plot_interactions
from ggml_nb.patients import place_patients, plot_placement
from ggml_nb.pictures import plot_clustermap, plot_embedding, plot_grid
from ggml_nb.scrna import fit_anndata, fitted_distributions, from_anndata, sample_means
from ggml_nb.simulation import make_scrna
from ggml_nb.synthetic import make_distributions
from ggml_nb.training import GGML
from ggml_nb.transport import OTResult, wasserstein
from ggml_nb.triplets import all_triplets, make_triplets, unique_pairs
from ggml_nb.tuning import TunedGGML, grid_search
