"""Calibration of a trained model on cases it was not calibrated on, and whether it knows where it fails.

The model is nnU-Net's of Hippocampus, imported. It is calibrated on half of its validation cases; the other
half, and the same cases damaged (blurred, noisy, inverted, half of them black), are what is measured on.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from export_nnunet import HIPPOCAMPUS, MODEL
from figure import Figure
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

import ingradient_pl as ip
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference.calibration import TEMPERATURES
from ingradient_pl.inference.measure_calibration import Reliability
from ingradient_pl.inference.predict_cases import read_truth
from ingradient_pl.inference.uncertainty import Uncertainty
from ingradient_pl.inference.uncertainty_files import estimate_dice
from ingradient_pl.metrics.agreement import count_agreement

WORST = 0.2


def figures() -> list[Figure]:
    held_out = json.loads((MODEL / "splits_final.json").read_text())[0]["val"]
    learn, test = held_out[::2], held_out[1::2]
    with tempfile.TemporaryDirectory() as folder:
        plain, calibrated = Path(folder) / "plain.ckpt", Path(folder) / "calibrated.ckpt"
        ip.import_nnunet(MODEL, plain)
        found = ip.calibrate(plain, HIPPOCAMPUS, calibrated, learn, mirror=False, device="cpu")
        before, after, scores = _measure(ip.load(calibrated, "cpu", mirror=False), test)
    estimates, dice = np.array(scores).T
    worst = dice <= np.quantile(dice, WORST)
    print(
        f"temperature {found.calibration.temperature:.2f} from {found.cases} cases; on {len(test)} others "
        f"the calibration error is {before:.4f} before, {after:.4f} after; with as many damaged ones Dice is "
        f"{dice.min():.2f} to {dice.max():.2f}, estimates off by {np.abs(estimates - dice).mean():.3f}"
    )
    auroc = _auroc(-estimates, worst)
    return [
        Figure("calibration error", after / before, "ratio", "the same model as trained", 0.5),
        Figure(
            "worst fifth found by predicted Dice",
            auroc,
            "AUROC",
            "0.5 by chance",
            0.8,
            most=False,
        ),
    ]


def _measure(predictor, names) -> tuple[float, float, list[tuple[float, float]]]:
    """Calibration errors without and with the temperature; estimated and found Dice of each case."""
    model = predictor.model
    as_trained = ip.Predictor(model._replace(calibration=type(model.calibration)()), "cpu", mirror=())
    cases = {case.name: case for case in read_source(HIPPOCAMPUS).cases}
    reliability, scores = Reliability(), []
    for number, name in enumerate(names):
        volume = cases[name].read_image(model.plan.orientation, model.task.channels)
        truth = read_truth(cases[name], volume, model.plan.orientation)
        shares = np.empty((model.plan.outputs, *truth.shape), np.float32)
        as_trained.predict(volume.voxels, volume.frame.spacing, shares)
        reliability.add(shares, np.stack([truth == value for value in model.task.written]))
        for image in (volume.voxels, _damage(volume.voxels.astype(np.float32), number)):
            doubt = Uncertainty.empty(truth.shape, model.plan.outputs)
            label = predictor.predict(image, volume.frame.spacing, None, doubt)
            values = [values[0] for values in model.task.foreground.values()]
            counts = count_agreement(label, truth, values)
            estimated = estimate_dice(doubt, model.task, model.calibration).values()
            scores.append((_mean(estimated), _mean(one.dice for one in counts.values())))
    at = TEMPERATURES.index(model.calibration.temperature)
    return reliability.error(TEMPERATURES.index(1.0)), reliability.error(at), scores


def _mean(values) -> float:
    return float(np.mean([value or 0.0 for value in values]))


def _damage(image, number: int):
    """Four kinds of damage, in turns."""
    rng = np.random.default_rng(number)
    if number % 4 == 0:
        return gaussian_filter(image, (0, 4, 4, 4))
    if number % 4 == 1:
        return image + rng.normal(0, 1.5 * image.std(), image.shape).astype(np.float32)
    if number % 4 == 2:
        return image.max() - image
    black = image.copy()
    black[..., black.shape[-1] // 2 :] = 0
    return black


def _auroc(scores, positive) -> float:
    ranks = rankdata(scores)
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (~positive).sum()))
