"""Image files to voxels and geometry and back: NIfTI, NRRD, MetaImage, DICOM, npz + pkl pairs."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.images.formats import Header as Header
    from ingradient_pl.images.formats import Volume as Volume
    from ingradient_pl.images.formats import read_label as read_label
    from ingradient_pl.images.formats import read_volume as read_volume
    from ingradient_pl.images.formats import write_label as write_label
    from ingradient_pl.images.formats import write_probabilities as write_probabilities
    from ingradient_pl.images.frame import Frame as Frame
    from ingradient_pl.images.frame import Reorientation as Reorientation
    from ingradient_pl.images.raw_image import ImageError as ImageError

__all__, __getattr__, __dir__ = attach(__name__)
