"""Our sliding windows over the case of the windows benchmark: seconds, peak bytes, distance from MONAI's."""

import json
import resource
import sys
import time

import torch

from ingradient_pl.inference.sliding_window import SlidingWindow, Tiling


def main(file: str) -> None:
    work = torch.load(file, weights_only=True)
    network = torch.jit.load(f"{file}.network")
    image, patch = work["image"], tuple(work["patch"])
    slabs = SlidingWindow(image.shape[1:], Tiling(patch, 0.5, batch=work["batch"]), work["outputs"])
    back = [0, *(1 + slabs.order.index(axis) for axis in range(3))]

    def rows():
        return slabs.logits(image, lambda views: [network(views)])

    before, start = peak(), time.perf_counter()
    with torch.inference_mode():
        for _ in rows():
            pass
        found = {"seconds": time.perf_counter() - start, "peak": peak(), "before": before}
        whole = torch.cat([some.clone() for some in rows()], dim=1).permute(back)
    theirs = torch.load(f"{file}.logits", weights_only=True)
    print(json.dumps({**found, "apart": float((whole - theirs).abs().max())}))


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1])
