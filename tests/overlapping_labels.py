"""Ways in which people keep labels that overlap, data sets in them, and a network that knows the answer."""

import csv
import json

import numpy as np
import torch
from torch import nn

from ingradient_pl.datasets.sources import read_source
from ingradient_pl.images import itk, nifti
from ingradient_pl.images.frame import Frame
from ingradient_pl.store.build import build_store

CODE = 2.0
"""Distance between the intensities of two combinations."""
SHAPE = (8, 9, 10)
CASES = ("a", "b")
NAMES = ("wt", "tc", "et")


def masks_of(number, names=NAMES, shape=SHAPE):
    """A mask for each label of a case: every combination of the first three occurs, and background."""
    rng = np.random.default_rng(number)
    bits = rng.integers(0, 2, (len(names), *shape)).astype(bool)
    bits[:, : shape[0] // 2] = False
    return dict(zip(names, bits, strict=True))


def image_of(masks):
    """An image whose intensity tells which labels lie in a voxel."""
    codes = sum(mask.astype(np.float64) * 2**bit for bit, mask in enumerate(masks.values()))
    return (codes * CODE + 1).astype(np.float32)


def save(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = voxels[None] if voxels.ndim == 3 else voxels
    write = nifti.write if path.name.endswith((".nii", ".nii.gz")) else itk.write
    write(path, np.ascontiguousarray(voxels), Frame((1.5, 1.0, 1.0)), None)


class Convention:
    """A way to keep labels.

    Args:
        write: Writes the label files of a case: from folder, case and masks.
        describe: Goes into dataset.json.
        names: Of the labels.
        entries: Makes what lists the cases: from folder, description and names of cases.
        known: Labels that a case tells, where not all.
        ending: Of the images.
    """

    def __init__(self, write, describe, names=NAMES, entries=None, known=None, ending=".nii.gz"):
        self.write, self.describe, self.names = write, describe, names
        self.entries, self.known, self.ending = entries, known or {}, ending

    def make(self, folder):
        """Write the data set and give what ``prepare`` takes."""
        for number, case in enumerate(CASES):
            masks = masks_of(number, self.names)
            save(folder / "imagesTr" / f"{case}_0000{self.ending}", image_of(masks))
            self.write(folder / "labelsTr", case, masks)
        described = {"channel_names": {"0": "noNorm"}, "file_ending": self.ending, **self.describe}
        path = folder if self.entries is None else self.entries(folder, described)
        (folder / "dataset.json").write_text(json.dumps(described))
        return path


def channels(ending=".nii.gz", before=0, after=0, kind=np.uint8):
    """One file with a channel for each label, and some that are none."""

    def write(folder, case, masks):
        held = [np.ones(SHAPE), *masks.values()][1 - before :] + [np.ones(SHAPE)] * after
        save(folder / f"{case}{ending}", np.stack(held).astype(kind))

    return write


def files(pattern="{case}/{label}.nii.gz", inside=1, kind=np.uint8, leave=()):
    """A file for each label, but those left out."""

    def write(folder, case, masks):
        for label, mask in masks.items():
            if (case, label) not in leave:
                path = folder / pattern.replace("{case}", case).replace("{label}", label)
                save(path, (mask * inside).astype(kind))

    return write


def integer_files(folder, case, masks):
    """Two labels that happen not to overlap in one file of integers, a third in another."""
    organs = np.where(masks["tc"], 7, 0)
    organs[~masks["tc"] & masks["wt"]] = 3
    save(folder / f"{case}_organs.nii.gz", organs.astype(np.uint8))
    save(folder / f"{case}_lesion.nii.gz", masks["et"].astype(np.uint8))


def channels_and_files(folder, case, masks):
    save(folder / f"{case}_two.nii.gz", np.stack([masks["tc"], masks["wt"]]).astype(np.uint8))
    save(folder / f"{case}_et.nii.gz", masks["et"].astype(np.uint8))


def table(label, columns=("label",), ending="csv"):
    """A table whose cells ``label`` gives by case."""

    def entries(folder, described):
        rows = [[case, f"imagesTr/{case}_0000.nii.gz", *label(case)] for case in CASES]
        with (folder / f"table.{ending}").open("w", newline="") as file:
            csv.writer(file).writerows([["case", "image_0", *columns], *rows])
        return folder / f"table.{ending}"

    return entries


def listed(key, label):
    """A list of cases in dataset.json, or beside it."""

    def entries(folder, described):
        images = {case: f"imagesTr/{case}_0000.nii.gz" for case in CASES}
        if key == "dataset":
            described[key] = {case: {"images": [images[case]], "label": label(case)} for case in CASES}
        elif key == "training":  # cases are named after their images
            files = [(folder / images[case]).rename(folder / f"imagesTr/{case}.nii.gz") for case in CASES]
            pairs = zip(files, CASES, strict=True)
            described[key] = [
                {"image": f"imagesTr/{file.name}", "label": label(case)} for file, case in pairs
            ]
        else:
            cases = [{"case": case, "images": [images[case]], "label": label(case)} for case in CASES]
            (folder / "cases.json").write_text(json.dumps(cases))
            return folder / "cases.json"
        return folder

    return entries


def by_label(case):
    return {name: f"labelsTr/{case}/{name}.nii.gz" for name in NAMES}


def in_order(case):
    return list(by_label(case).values())


def whole(case):
    return f"labelsTr/{case}.nii.gz"


def prepare_masks(folder, cases, names=NAMES):
    """A store of cases whose labels overlap, made of a file for each label."""
    for number, case in enumerate(cases):
        masks = masks_of(number, names)
        save(folder / "raw" / "imagesTr" / f"{case}_0000.nii.gz", image_of(masks))
        files()(folder / "raw" / "labelsTr", case, masks)
    described = {"channel_names": {"0": "noNorm"}, "file_ending": ".nii.gz", "labels": list(names)}
    (folder / "raw" / "dataset.json").write_text(json.dumps(described))
    build_store(read_source(folder / "raw"), folder / folder.name, progress=False)
    return folder / folder.name


LIST = {"labels": list(NAMES)}
LEFT = (("a", "et"),)
MANY = tuple(f"organ {number}" for number in range(12))
PARTS = ("label_wt", "label_tc", "label_et")
CONVENTIONS = {
    "channels": Convention(channels(), LIST),
    "channels nrrd": Convention(channels(".nrrd"), LIST, ending=".nrrd"),
    "channels mha": Convention(channels(".mha"), LIST, ending=".mha"),
    "channels float": Convention(channels(kind=np.float32), LIST),
    "one channel": Convention(channels(), {"labels": ["lesion"]}, ("lesion",)),
    "background channel": Convention(channels(before=1), {"labels": ["background", *NAMES]}),
    "some channels": Convention(
        channels(after=1), {"labels": {name: {"channel": i, "channels": 4} for i, name in enumerate(NAMES)}}
    ),
    "folder of each case": Convention(files(), LIST),
    "pattern": Convention(files("{case}_{label}.nii.gz"), {**LIST, "label_files": "{case}_{label}.nii.gz"}),
    "pattern with folder": Convention(
        files("{case}_{label}.nii.gz"), {**LIST, "label_files": "labelsTr/{case}_{label}.nii.gz"}
    ),
    "pattern without ending": Convention(
        files("{case}_{label}.nii.gz"), {**LIST, "label_files": "{case}_{label}"}
    ),
    "folder of each label": Convention(
        files("{label}/{case}.nii.gz"), {**LIST, "label_files": "{label}/{case}.nii.gz"}
    ),
    "pattern of each label": Convention(
        files("{case}_m_{label}.nii.gz"), {"labels": {name: f"{{case}}_m_{name}.nii.gz" for name in NAMES}}
    ),
    "files by label": Convention(
        files("{case}_{label}.nii.gz"),
        {**LIST, "label_files": {name: f"labelsTr/{{case}}_{name}.nii.gz" for name in NAMES}},
    ),
    "numbered as nnU-Net does": Convention(
        files("{case}_{label}.nii.gz"),
        {"labels": {"background": 0, "wt": 1, "tc": 2, "et": 3}, "label_files": "{case}_{label}.nii.gz"},
    ),
    "a name that ends as another": Convention(
        files("{case}_{label}.nii.gz"),
        {"labels": ["wt", "core_wt"], "label_files": "{case}_{label}.nii.gz"},
        ("wt", "core_wt"),
    ),
    "masks of 255": Convention(files(inside=255), LIST),
    "masks of floats": Convention(files(kind=np.float32), LIST),
    "masks of 16 bits": Convention(files(kind=np.int16), LIST),
    "channels and files": Convention(
        channels_and_files,
        {
            "labels": {
                "wt": {"file": "{case}_two.nii.gz", "channel": 1},
                "tc": {"file": "{case}_two.nii.gz", "channel": 0},
                "et": {"file": "{case}_et.nii.gz"},
            }
        },
    ),
    "ignore": Convention(files(), {"labels": ["wt", "tc", "ignore"]}, ("wt", "tc", "ignore")),
    "twelve labels": Convention(files(), {"labels": list(MANY)}, MANY),
    "twelve channels": Convention(channels(), {"labels": list(MANY)}, MANY),
    "umlauts": Convention(files(), {"labels": ["Kopf, groß", "Fuß [links]"]}, ("Kopf, groß", "Fuß [links]")),
    "table of files": Convention(files(), {}, entries=table(in_order, PARTS)),
    "table of folders": Convention(files(), LIST, entries=table(lambda case: [f"labelsTr/{case}"])),
    "table of channels": Convention(channels(), LIST, entries=table(lambda case: [whole(case)])),
    "records": Convention(files(), LIST, entries=listed("records", by_label)),
    "datalist by label": Convention(files(), LIST, entries=listed("training", by_label)),
    "datalist in order": Convention(files(), LIST, entries=listed("training", in_order)),
    "datalist of channels": Convention(channels(), LIST, entries=listed("training", whole)),
    "mapped": Convention(files(), LIST, entries=listed("dataset", by_label)),
    "annotated": Convention(
        files(leave=LEFT), {**LIST, "annotated": {"a": ["wt", "tc"]}}, known={"a": ("wt", "tc")}
    ),
    "missing is unannotated": Convention(
        files(leave=LEFT), {**LIST, "missing_labels": "unannotated"}, known={"a": ("wt", "tc")}
    ),
}


class Knowing(nn.Module):
    """Gives the right logits: it reads off the intensity which labels lie in a voxel."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        codes = ((image[:, 0] - 1) / CODE).round().long()
        return [torch.stack([(codes >> bit & 1) * 40.0 - 20.0 for bit in range(self.outputs)], dim=1)]
