"""Histograms of a report: as flat as the intensities are, and complete."""

import numpy as np
import pytest

from ingradient_pl.reports.histograms import BINS, bin_edges, bin_shares
from ingradient_pl.store.statistics import Statistics


@pytest.mark.parametrize("span", [50, 195, 300, 4000])
@pytest.mark.parametrize("scale", [1, 1 / 7], ids=["integers", "numbers"])
def test_intensities_that_are_equally_frequent_have_equal_bins(span, scale):
    values = np.repeat(np.arange(span), 20)
    measured = Statistics.of(values if scale == 1 else values * scale)
    edges = bin_edges([measured], measured.minimum, measured.maximum)
    shares = np.array(bin_shares([measured], edges))
    assert len(shares) <= BINS + 1
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    if scale == 1:  # the last bin may reach beyond the last integer
        assert shares[:-1] == pytest.approx(np.diff(edges)[0] / span, rel=0.2)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_air_of_a_ct_is_counted(kind):
    values = np.concatenate([np.full(6000, -1000), np.arange(-100, 300).repeat(10)]).astype(kind)
    measured = Statistics.of(values)
    shares = bin_shares([measured], bin_edges([measured], measured.quantile(0.002), measured.quantile(0.998)))
    assert shares[0] == pytest.approx(0.6, abs=0.01)
