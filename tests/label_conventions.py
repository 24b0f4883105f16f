"""Ways in which people number their labels, data sets in them, and a network that knows the answer."""

import json

import nibabel
import numpy as np
import torch
from torch import nn

CONVENTIONS = {
    "consecutive": {"labels": {"background": 0, "a": 1, "b": 2}},
    "freesurfer": {"labels": {"background": 0, "left": 1001, "right": 2035}},
    "spider": {"labels": {"background": 0, **{f"l{v}": v for v in (1, 2, 7, 100, 201, 207)}}},
    "gap": {"labels": {"background": 0, "a": 1, "c": 3}},
    "brats": {"labels": {"background": 0, "necrosis": 1, "edema": 2, "enhancing": 4}},
    "brats regions": {
        "labels": {"background": 0, "whole": [1, 2, 4], "core": [1, 4], "enhancing": [4]},
        "regions_class_order": [2, 1, 4],
    },
    "regions": {
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
        "regions_class_order": [1, 2, 3],
    },
    "kits": {
        "labels": {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumour": 2},
        "regions_class_order": [1, 3, 2],
    },
    "sparse regions": {
        "labels": {"background": 0, "both": [1001, 2035], "right": [2035], "ignore": 4000},
        "regions_class_order": [1001, 2035],
    },
    "ignore": {"labels": {"background": 0, "a": 1, "b": 2, "ignore": 3}},
    "ignore 255": {"labels": {"background": 0, "a": 1, "b": 2, "ignore": 255}},
    "ignore 256": {"labels": {"background": 0, "a": 1, "b": 2, "ignore": 256}},
    "ignore between": {"labels": {"background": 0, "a": 1, "ignore": 2, "b": 3}},
    "sparse ignore": {"labels": {"background": 0, "a": 1001, "b": 2035, "ignore": 65535}},
    "decathlon": {"labels": {"0": "background", "2": "b", "7": "a"}},
    "text": {"labels": {"background": "0", "a": "1", "b": "5"}},
    "mask of 255": {"labels": {"background": 0, "mask": 255}},
    "disorder": {"labels": {"b": 2, "c": 30, "background": 0, "a": 1}},
    "no background": {"labels": {"a": 1, "b": 4}},
    "another background": {"labels": {"unlabelled": 0, "a": 1, "b": 2}},
    "lists of one": {"labels": {"background": [0], "a": [1], "b": [4]}},
    "largest": {"labels": {"background": 0, "a": 1, "b": 65535}},
    "many": {"labels": {"background": 0, **{f"l{v}": v for v in range(1, 301)}}},
    "many sparse": {"labels": {"background": 0, **{f"l{v}": 7 * v for v in range(1, 301)}}},
}
CODE = 4
"""Distance between the intensities of two integers."""


def integers_of(convention):
    """Every integer of a convention, background first."""
    labels = convention["labels"]
    if all(isinstance(value, str) and not value.isdigit() for value in labels.values()):
        return sorted({0, *map(int, labels)})
    found = {0}
    for value in labels.values():
        found |= set(map(int, value)) if isinstance(value, list) else {int(value)}
    return sorted(found)


def write_convention(folder, convention, cases=2, dtype=np.int32):
    """Write a raw data set whose images tell the integer of each voxel by their intensity."""
    values = np.array(integers_of(convention))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number in range(cases):
        rng = np.random.default_rng(number)
        places = rng.integers(0, len(values), (12, 12, 12))
        places[:6] = 0
        places.reshape(-1)[-len(values) :] = np.arange(len(values))
        if number and len(values) > 200:  # a case that holds small integers alone
            places[places > 199] = 0
        image = nibabel.Nifti1Image((places * CODE + 1).astype(np.float32).T, np.diag([-1, -1, 1, 1]))
        label = nibabel.Nifti1Image(values[places].astype(dtype).T, np.diag([-1, -1, 1, 1]))
        nibabel.save(image, folder / "imagesTr" / f"case_{number}_0000.nii.gz")
        nibabel.save(label, folder / "labelsTr" / f"case_{number}.nii.gz")
    described = {"channel_names": {"0": "noNorm"}, "file_ending": ".nii.gz", **convention}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


class Knowing(nn.Module):
    """Gives the right logits: it reads the integer off the intensity and knows the task's outputs."""

    def __init__(self, convention, task):
        super().__init__()
        told = task.in_files
        if told.has_regions:
            outputs = [set(value) for value in told.foreground.values()]
        else:
            outputs = [{value} for value in told.values if value != told.ignore]
        rows = [[float(value in held) for held in outputs] for value in integers_of(convention)]
        self.register_buffer("table", torch.tensor(rows) * 40 - 20)

    def forward(self, image):
        places = ((image[:, 0] - 1) / CODE).round().long().clamp(0, len(self.table) - 1)
        return [self.table[places].movedim(-1, 1).contiguous()]
