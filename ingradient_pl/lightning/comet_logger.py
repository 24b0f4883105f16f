"""Comet's logger of Lightning, whose offline runs are kept."""

from pytorch_lightning.loggers import CometLogger as LightningsCometLogger
from typing_extensions import override


class CometLogger(LightningsCometLogger):
    """Lightning's logger for Comet; with ``online=False`` its run is kept in a folder, to be uploaded.

    Lightning 2.6 switches such a run off altogether (``disabled``), and nothing is written.
    """

    @override
    def _create_experiment(self) -> None:
        import comet_ml

        self._comet_config = comet_ml.ExperimentConfig(**self._kwargs)
        super()._create_experiment()
