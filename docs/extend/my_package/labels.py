"""An augmentation of image and label together, which may mix patches: it sees the whole batch."""

from ingradient_pl.transforms import BatchTransform


class SwapHalves(BatchTransform):
    """Exchange the lower halves of pairs of patches, image and label alike.

    Args:
        p: Probability of each pair.
    """

    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, batch, rngs):
        """Take a batch on the device and one of NumPy's generators for each patch; give the batch."""
        half = batch.image.shape[2] // 2
        for first in range(0, len(rngs) - 1, 2):
            if rngs[first].random() < self.p:
                pair, swapped = [first, first + 1], [first + 1, first]
                batch.image[pair, :, :half] = batch.image[swapped, :, :half]
                batch.label[pair, :half] = batch.label[swapped, :half]
        return batch
