"""MONAI's sliding windows over the case of the windows benchmark: seconds, peak bytes; logits into a file."""

import json
import resource
import sys
import time

import torch
from monai.inferers import sliding_window_inference


def main(file: str) -> None:
    work = torch.load(file, weights_only=True)
    network = torch.jit.load(f"{file}.network")
    settings = {"roi_size": work["patch"], "sw_batch_size": work["batch"], "overlap": 0.5}
    settings |= {"mode": "gaussian", "roi_weight_map": work["map"]}
    before, start = peak(), time.perf_counter()
    with torch.inference_mode():
        logits = sliding_window_inference(work["image"][None], predictor=network, **settings)[0]
    seconds, most = time.perf_counter() - start, peak()
    torch.save(logits, f"{file}.logits")
    print(json.dumps({"seconds": seconds, "peak": most, "before": before}))


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1])
