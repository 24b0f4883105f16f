"""What random changes did to a known image, in a few numbers a draw, and the moments of those numbers.

Shared by the tests and by scripts/nnunet_augmentation_oracle.py, which runs where nnU-Net is installed.
"""

import numpy as np

DRAWS, BATCH = 10_000, 500
SHAPE, FLAT = (8, 10, 9), (3, 10, 12)
PATCH = {"cube": (16, 16, 16), "flat": (4, 16, 16), "slice": (16, 14), "long slice": (24, 14)}
"""Patches whose affines nnU-Net draws by different rules."""


def known(shape=SHAPE):
    """Two channels of skewed noise about different means, float32."""
    values = np.random.default_rng(8).gamma(2.0, size=(2, *shape)) - [[[[1.0]]], [[[3.0]]]]
    return values.astype(np.float32)


def touched(before, after):
    """Whether each channel was changed."""
    found = (after != before).any((2, 3, 4))
    return {"first": found[:, 0], "second": found[:, 1], "both": found.all(1)}


def noise(before, after):
    added = (after - before).reshape(len(after), 2, -1)
    wide, shift = added.std(2), added.mean(2)
    return {
        "width": wide[:, 0],
        "width of both": wide[:, 0] * wide[:, 1],
        "mean": shift[:, 0],
        "mean of both": shift[:, 0] * shift[:, 1],
    }


def brightness(before, after):
    factor = (after * before).sum((2, 3, 4)) / np.square(before).sum((1, 2, 3))
    off = np.abs(after - factor[:, :, None, None, None] * before).max((2, 3, 4))
    return {**_halves(factor, 1.0), "off": off[:, 0]}


def contrast(before, after):
    width = after.std((2, 3, 4)) / before.std((1, 2, 3))
    ends = {"low": after.min((2, 3, 4))[:, 0], "high": after.max((2, 3, 4))[:, 0]}
    return {**_halves(width, 1.0), "mean": after.mean((2, 3, 4))[:, 0], **ends}


def gamma(before, after):
    bent = _within_range(after[None])[0]
    restored = {"mean": after.mean((2, 3, 4))[:, 0], "width": after.std((2, 3, 4))[:, 0]}
    return {**_halves(bent, _within_range(before[None, None])[0]), **restored}


def smoothing(before, after):
    """Slopes along the axes as shares of what they were, and likeness to the image."""
    slopes = [
        np.abs(np.diff(after, axis=axis)).mean((2, 3, 4))
        / np.abs(np.diff(before[None], axis=axis)).mean((2, 3, 4))
        for axis in (2, 3, 4)
    ]
    found = {f"slope {axis}": slope[:, 0] for axis, slope in zip("zyx", slopes, strict=True)}
    centred = before - before.mean((1, 2, 3), keepdims=True)
    alike = (after * centred).sum((2, 3, 4)) / np.square(centred).sum((1, 2, 3))
    return {
        **found,
        "slopes": sum(slope.mean(1) for slope in slopes),
        "coarser": np.minimum(sum(slope.mean(1) for slope in slopes), 1.2),
        "slopes z, y": slopes[0][:, 0] * slopes[1][:, 0],
        "slopes of both": slopes[2][:, 0] * slopes[2][:, 1],
        "like": alike[:, 0],
    }


INTENSITIES = {
    "noise": noise,
    "blur": smoothing,
    "brightness": brightness,
    "contrast": contrast,
    "low resolution": smoothing,
    "inverted gamma": gamma,
    "gamma": gamma,
}
"""Changes in nnU-Net's order, and how each is looked at."""


def moved(matrices):
    """Whether a patch was turned, scaled, or both; matrices without mirroring."""
    turned = np.abs(matrices - matrices * np.eye(matrices.shape[1])).max((1, 2)) > 1e-3
    scaled = np.abs(_factor(matrices) - 1) > 1e-4
    return {"turned": turned, "scaled": scaled, "both": turned & scaled}


def mirrored(signs):
    """Which axes run backwards; shape ``(draws, axes)``."""
    found = {f"axis {axis}": signs[:, axis] < 0 for axis in range(signs.shape[1])}
    return {**found, "two": (signs[:, -2:] < 0).all(1), "all": (signs < 0).all(1)}


def affine(matrices):
    """Angles in degrees and the factor of affines that turn and scale."""
    factor = _factor(matrices)
    turns = matrices / factor[:, None, None]
    if matrices.shape[1] == 2:
        angle = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
        return {"factor": factor, "angle": angle, "size": np.abs(angle), "together": factor * np.abs(angle)}
    angles = {
        "z": np.degrees(np.arctan2(turns[:, 2, 1], turns[:, 2, 2])),
        "y": np.degrees(np.arcsin(np.clip(-turns[:, 2, 0], -1, 1))),
        "x": np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0])),
    }
    sizes = {f"size {axis}": np.abs(angle) for axis, angle in angles.items()}
    products = {"z, y": sizes["size z"] * sizes["size y"], "y, x": sizes["size y"] * sizes["size x"]}
    return {"factor": factor, **angles, **sizes, **products, "together": factor * sizes["size z"]}


def moments(numbers):
    """Mean and standard deviation of each number over the draws, each with its standard error."""
    found = {}
    for name, values in numbers.items():
        values = np.asarray(values, np.float64)
        mean, variance = values.mean(), values.var()
        width = variance**0.5
        of_variance = max(0.0, ((values - mean) ** 4).mean() - variance**2) / len(values)
        error = of_variance**0.5 / (2 * width) if width else 0.0
        four = (mean, (variance / len(values)) ** 0.5, width, error)
        found[name] = [float(f"{number:.6g}") for number in four]
    return found


ROUNDING = 2e-5
"""Share by which float32 may miss a number; it counts where a number does not vary."""


def apart(ours, theirs):
    """How many standard errors lie between two moments of each number, the larger of mean and deviation."""
    found = {}
    for name, (mean, of_mean, width, of_width) in ours.items():
        their_mean, of_theirs, their_width, of_their_width = theirs[name]
        floor = ROUNDING * max(1.0, abs(their_mean))
        means = abs(mean - their_mean) / (of_mean**2 + of_theirs**2 + floor**2) ** 0.5
        widths = abs(width - their_width) / (of_width**2 + of_their_width**2 + floor**2) ** 0.5
        found[name] = max(means, widths)
    return found


def _halves(values, one):
    """A number of both channels, whole and in the parts below and above that of no change."""
    at = np.broadcast_to(one, values.shape)[:, 0]
    first = values[:, 0]
    parts = {"below": np.minimum(first, at), "above": np.maximum(first, at)}
    return {"first": first, **parts, "both": first * values[:, 1], "second": values[:, 1]}


def _within_range(images):
    low, high = images.min((3, 4, 5), keepdims=True), images.max((3, 4, 5), keepdims=True)
    return ((images - low) / (high - low)).mean((3, 4, 5))


def _factor(matrices):
    return np.abs(np.linalg.det(matrices)) ** (1 / matrices.shape[1])
