"""Keep part of the logits that nnU-Net's network gives for a patch, in single and in double precision.

Run it where nnU-Net 2.8.1 is installed, with the reference model beside the checkout:
python scripts/nnunet_logits_oracle.py   It writes tests/expected/nnunet_logits.json.
"""

import json
from pathlib import Path

import numpy as np
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

ROOT = Path(__file__).parents[1]
MODEL = ROOT.parent / "shared" / "reference" / "nnunet_hippocampus"
SEED, EVERY = 0, 997


def main() -> None:
    # our own reference model: its pickle is trusted
    fold = torch.load(MODEL / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=False)
    plans = json.loads((MODEL / "plans.json").read_text())
    configuration = plans["configurations"][fold["init_args"]["configuration"]]
    built = configuration["architecture"]
    sizes = {"input_channels": 1, "output_channels": 3, "deep_supervision": False}
    names = (built["network_class_name"], built["arch_kwargs"], built["_kw_requires_import"])
    network = get_network_from_plans(*names, **sizes).eval()
    network.load_state_dict(fold["network_weights"])
    patch = np.random.default_rng(SEED).standard_normal((1, 1, *configuration["patch_size"]))
    image = torch.from_numpy(patch.astype(np.float32))
    with torch.inference_mode():
        single = network(image)
        double = network.double()(image.double())
    kept = {"seed": SEED, "every": EVERY, "patch": configuration["patch_size"]}
    kept |= {"largest": double.abs().max().item(), "rounding": (single - double).abs().max().item()}
    kept |= {name: one.flatten()[::EVERY].tolist() for name, one in (("single", single), ("double", double))}
    (ROOT / "tests" / "expected" / "nnunet_logits.json").write_text(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
