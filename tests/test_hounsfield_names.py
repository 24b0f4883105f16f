"""A CT whose channel is not called CT would not be normalised as one: it is told."""

import numpy as np
import pytest
from overlapping_labels import save

from ingradient_pl.datasets.sources import read_source
from ingradient_pl.store.build import build_store

TOLD = "begins at -1000, as Hounsfield units do"


@pytest.mark.parametrize("name", ["0", "image", "CT", "ct", "CT scan"])
@pytest.mark.parametrize("air", [-1000, 0])
def test_hounsfield_units_without_the_name_are_told_once(tmp_path, name, air):
    for case in ("a", "b"):
        image = np.random.default_rng(len(case)).normal(40, 15, (8, 9, 10)).round()
        image[:, :3] = air
        label = np.zeros(image.shape, np.uint8)
        label[3:5, 4:6, 4:6] = 1
        save(tmp_path / f"{case}.nii.gz", image.astype(np.int16))
        save(tmp_path / f"{case}_seg.nii.gz", label)
    rows = "".join(f"{case},{case}.nii.gz,{case}_seg.nii.gz\n" for case in ("a", "b"))
    (tmp_path / "cases.csv").write_text("case,image_0,label\n" + rows)
    if name != "0":
        (tmp_path / "dataset.json").write_text(
            f'{{"channel_names": {{"0": "{name}"}}, "labels": {{"background": 0, "organ": 1}}}}'
        )
    warnings = build_store(read_source(tmp_path / "cases.csv"), tmp_path / "store", progress=False).warnings
    told = [text for text in warnings if TOLD in text]
    assert len(told) == (air < 0 and name in {"0", "image"})
    assert all(f"the channel '{name}'" in text and '{"0": "CT"}' in text for text in told)
