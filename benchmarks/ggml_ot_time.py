"""Run by the Python of ggml-ot's venv: milliseconds per pair of its compute_OT, along the W's of a file."""

import json
import sys
import time

import numpy as np
from ggml_ot.distances import compute_OT

case = np.load(sys.argv[1])
supports, times = np.stack([case["P"], case["Q"]]), []
for W in case["W"]:
    start = time.thread_time()
    compute_OT(supports, ground_metric=W, pairs=[(0, 1)])
    times.append(1e3 * (time.thread_time() - start))
print(json.dumps(float(np.mean(times[1:]))))
