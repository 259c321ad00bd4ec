"""Run by the Python of ggml-ot's venv: seconds of one epoch, by rank and number of neighbours."""

import json
import sys
import time

import ggml_ot
import numpy as np

job = np.load(sys.argv[1])


def epoch(k, t):
    "Wall-clock and CPU seconds of one epoch."
    data = ggml_ot.from_numpy(list(job["bags"].astype(np.float64)), job["labels"], n_triplets=int(t))
    start, cpu = time.perf_counter(), time.process_time()
    ggml_ot.train(data, n_comps=int(k), max_iter=1, batch_size=128, plot_iter=0, return_dataset=False)
    return time.perf_counter() - start, time.process_time() - cpu


epoch(2, 1)  # compiles
print(json.dumps(epoch(*job["cell"])))
