"""Pictures reach each kind of logger by the call that it has."""

import sys
from unittest.mock import Mock

import pytest
import torch

from ingradient_pl.lightning.callbacks.layer_images import log_image

PICTURE = torch.arange(3 * 4 * 5).view(3, 4, 5).to(torch.uint8)


def logged(logger):
    log_image(logger, "val/levels", PICTURE, 7)
    return logger.mock_calls[-1]


def test_tensorboard_gets_channels_first():
    logger = Mock(spec=["experiment"], experiment=Mock(spec=["add_image"]))
    name, (key, picture, step), _ = logged(logger)
    assert (name, key, step) == ("experiment.add_image", "val/levels", 7)
    assert torch.equal(picture, PICTURE)


@pytest.mark.parametrize(
    ("logger", "call", "where"),
    [
        (Mock(spec=["log_image", "experiment"]), "log_image", lambda args, named: args[1][0]),
        (
            Mock(spec=["run_id", "experiment"], run_id="r1", experiment=Mock(spec=["log_image"])),
            "experiment.log_image",
            lambda args, named: args[1] if (args[0], named["key"]) == ("r1", "val/levels") else None,
        ),
        (
            Mock(spec=["experiment"], experiment=Mock(spec=["log_image"])),
            "experiment.log_image",
            lambda args, named: args[0] if named["name"] == "val/levels" else None,
        ),
    ],
    ids=["wandb", "mlflow", "comet"],
)
def test_others_get_channels_last(logger, call, where):
    name, args, named = logged(logger)
    assert name == call
    assert named["step"] == 7
    assert torch.equal(torch.from_numpy(where(args, named)), PICTURE.permute(1, 2, 0))


def test_aim_gets_a_picture_of_its_own_kind(monkeypatch):
    monkeypatch.setitem(sys.modules, "aim", Mock(Image=lambda plain: ("picture", plain)))
    name, ((kind, plain),), named = logged(Mock(spec=["experiment"], experiment=Mock(spec=["track"])))
    assert (name, kind, named) == ("experiment.track", "picture", {"name": "val/levels", "step": 7})
    assert torch.equal(torch.from_numpy(plain), PICTURE.permute(1, 2, 0))


def test_a_logger_that_shows_no_pictures_is_left_alone():
    logger = Mock(spec=["experiment"], experiment=Mock(spec=["log_metric"]))
    log_image(logger, "val/levels", PICTURE, 7)
    assert not logger.mock_calls
