"""Run by the Python of ggml-ot's venv: fit bags of equal size with its defaults, cut to the given time if need be."""

import sys
import time

import ggml_ot
import numpy as np

job = np.load(sys.argv[1])


def fit(epochs):
    "W, wall-clock seconds and CPU seconds of all threads."
    start, cpu = time.perf_counter(), time.process_time()
    data = ggml_ot.from_numpy(list(job["bags"].astype(np.float64)), job["labels"])
    W = ggml_ot.train(data, max_iter=epochs, plot_iter=0, return_dataset=False)
    return np.asarray(W), time.perf_counter() - start, time.process_time() - cpu


fit(1)  # compiles
epochs = int(np.clip(job["limit"] / fit(1)[1], 1, 30))  # 30 is its default
W, wall, cpu = fit(epochs)
np.savez(sys.argv[2], W=W, epochs=epochs, wall=wall, cpu=cpu)
