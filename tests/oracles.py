"""A network without training that finds a bright ball, plans for it and files to find it in."""

import SimpleITK
import torch
from torch import nn

from ingradient_pl.datasets.phantom import ball
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import NoNormalisation

BALL = Task(("MR",), {"background": 0, "ball": 1})


class Oracle(nn.Module):
    """Bright is foreground; each of its answers may be coarser than the one before."""

    def forward(self, image):
        return [torch.cat([50 - image[:, :1], image[:, :1] - 50], dim=1), image[:, :, ::2]]


def plan(patch=(16, 16, 16), **changes):
    settings = {
        "channels": 1,
        "outputs": 2,
        "spacing": (1.5, 1.5, 1.5),
        "patch": patch,
        "batch_size": 2,
        "widths": (4, 8),
        "strides": ((1, 1, 1), (1, 2, 2)),
        "kernels": ((3, 3, 3), (3, 3, 3)),
        "blocks": (1, 1),
        "decoder_blocks": (1,),
        "normalisation": (NoNormalisation(),),
    }
    return Plan(**{**settings, **changes})


def predictor(made=None, task=BALL, network=None, mirrored=(), **settings):
    model = Model([network or Oracle()], made or plan(), task, "test", mirrored)
    return Predictor(model, **settings)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


SPACING = (2.0, 1.0, 1.5)


def cases_predictor(network=None, orientation="LPS", **settings):
    made = plan((16, 16, 16), orientation=orientation, spacing=(1.5, 1.5, 1.5))
    return Predictor(Model([network or Oracle()], made, BALL, "test", ()), **settings)


def write_ball(folder, name, ending=".nii.gz", direction=None, shape=(16, 24, 20)):
    image, label = ball(shape, SPACING, radius_mm=8)
    files = []
    for part, voxels in (("images", image[0] + 1), ("labels", label)):
        made = SimpleITK.GetImageFromArray(voxels)
        made.SetSpacing(SPACING[::-1])
        made.SetOrigin((10.0, -20.0, 30.0))
        if direction:
            made.SetDirection(direction)
        (folder / part).mkdir(exist_ok=True)
        file = folder / part / f"{name}{'_0000' if part == 'images' else ''}{ending}"
        SimpleITK.WriteImage(made, str(file))
        files.append(file)
    return CaseFiles(name, (files[0],), files[1], name)
