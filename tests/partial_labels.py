"""A data set of phantoms whose cases annotate some labels only, written in each layout that can say it."""

import csv
import json

import numpy as np

from ingradient_pl.images import nifti
from ingradient_pl.images.frame import Frame

SAID = {"a": None, "b": ["organ"], "c": ["lesion"], "d": ["organ"]}
"""What each case annotates; None is everything."""
LABELS = {"background": 0, "organ": 1, "lesion": 2}
SHAPE = (12, 14, 16)


def write_volume(file, voxels):
    file.parent.mkdir(parents=True, exist_ok=True)
    nifti.write(file, voxels[None] if voxels.ndim == 3 else voxels, Frame((1.0, 1.0, 1.0)), None)


def anatomy(seed, shape=SHAPE):
    """Image and label of a box (organ) that holds a smaller one (lesion)."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    z, y, x = rng.integers(1, 4, 3)
    label[z : z + 7, y : y + 8, x : x + 9] = 1
    label[z + 2 : z + 5, y + 2 : y + 6, x + 2 : x + 6] = 2
    image = 100 + 100 * label + rng.normal(0, 10, shape)
    return image.astype(np.int16), label


def write_partial(folder, layout="annotated", said=None, labels=None):
    """Write the cases of ``SAID`` and give what ``prepare`` takes; ``layout`` says who tells what."""
    said = SAID if said is None else said
    for number, name in enumerate(said):
        image, label = anatomy(number)
        write_volume(folder / "imagesTr" / f"{name}_0000.nii.gz", image)
        write_volume(folder / "labelsTr" / f"{name}.nii.gz", label)
    described = {"channel_names": {"0": "MR"}, "labels": labels or LABELS, "file_ending": ".nii.gz"}
    if labels is not None:
        described["regions_class_order"] = [1, 2]
    files = {
        name: (f"imagesTr/{name}_0000.nii.gz", f"labelsTr/{name}.nii.gz", told) for name, told in said.items()
    }
    path = WRITERS[layout](folder, described, files)
    (folder / "dataset.json").write_text(json.dumps(described))
    return path


def _annotated(folder, described, files):
    described["annotated"] = {name: told for name, (_, _, told) in files.items() if told is not None}
    return folder


def _mapped(folder, described, files):
    described["dataset"] = {
        name: {"images": [image], "label": label, "annotated": told}
        for name, (image, label, told) in files.items()
    }
    return folder


def _datalist(folder, described, files):
    described["training"] = [
        {"image": image, "label": label, "annotated": told} for image, label, told in files.values()
    ]
    return folder


def _table(folder, described, files):
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["case", "image_0", "label", "annotated"])
        for name, (image, label, told) in files.items():
            rows.writerow([name, image, label, "; ".join(told or [])])
    return folder / "table.csv"


def _records(folder, described, files):
    cases = [
        {"case": name, "images": [image], "label": label, "annotated": told}
        for name, (image, label, told) in files.items()
    ]
    (folder / "cases.json").write_text(json.dumps(cases))
    return folder / "cases.json"


WRITERS = {
    "annotated": _annotated,
    "mapped": _mapped,
    "datalist": _datalist,
    "table": _table,
    "records": _records,
}
