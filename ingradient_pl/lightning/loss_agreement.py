"""Whether a loss takes what the data of a run give, asked before the first step."""

from torch import nn

from ingradient_pl.inference.to_native import LabelDecoder
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.further_volumes import check_use
from ingradient_pl.lightning.run_log import tell
from ingradient_pl.losses.compatibility import check_loss
from ingradient_pl.store.annotation import is_partly_annotated
from ingradient_pl.transforms.augment import BatchTransform


def check_use_of_data(loss: nn.Module, data: SegmentationData) -> None:
    """Refuse before the first step what would be wrong, or not be of use, after the last.

    Args:
        loss: Of the run.
        data: Set up.

    Raises:
        ValueError: If they do not fit; the message names the cure.
    """
    check_loss(loss, data.task, partly=is_partly_annotated(data.store.cases.values()))
    whole = any(isinstance(change, BatchTransform) for change in data.augment.transforms)
    remark = check_use(loss, data.further, data.plan, otherwise=whole)
    if remark is not None:
        tell(remark)
    LabelDecoder.of(data.task)  # what is trained must be written one day
