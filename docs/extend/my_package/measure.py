"""A measure of ``evaluate``: a function, or a class with ``__call__``, of two masks and the voxel size."""

import numpy as np


def volume_error(prediction, reference, spacing):
    """Take two boolean masks (z, y, x) and mm (z, y, x); give numbers by name."""
    millilitres = np.prod(spacing) / 1000
    return {"volume_error_ml": float((prediction.sum() - reference.sum()) * millilitres)}
