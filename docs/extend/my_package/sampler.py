"""A sampler: which patches of a batch are centred on foreground."""

from dataclasses import dataclass

from ingradient_pl.draws import Oversampling


@dataclass(frozen=True)
class EveryOther(Oversampling):
    """Every other patch is centred on foreground."""

    def forced(self, position, batch_size, rng):
        """Take the position of a patch in its batch; tell whether it is centred on foreground."""
        return position % 2 == 1
