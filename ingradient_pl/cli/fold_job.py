"""What a launcher runs for a fold: it is trained, and segments the cases that it held out."""

from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from ingradient_pl.cli.run_folders import near
from ingradient_pl.cli.sweep_job import train_job
from ingradient_pl.commands.predict import predict
from ingradient_pl.commands.prediction_cases import VALIDATION
from ingradient_pl.inference.checkpoint_file import CheckpointError
from ingradient_pl.lightning.run_files import LAST

PREDICTIONS = "predictions"


@dataclass(frozen=True)
class FoldJob:
    """What a launcher runs for a fold, here or on another machine: train it, then segment its held-out cases.

    A fold that is trained is not trained again, and a case that its model has segmented is left as it is.

    Args:
        mapped: Names of the folders whose runs write a map for each output beside each segmentation.
    """

    mapped: tuple[str, ...]

    def __call__(self, config: DictConfig) -> float:
        """Give the score of the run, as any job of a sweep does.

        Raises:
            RuntimeError: If a held-out case cannot be segmented.
            CheckpointError: If the fold's last state is damaged.
        """
        run = Path(HydraConfig.get().runtime.output_dir)
        anew = f"Delete {near(run)}, and this fold is trained anew."
        try:
            score = train_job(config, anew)
        except CheckpointError as error:
            raise CheckpointError(f"{error} {anew}") from error
        done = predict(
            run / LAST,
            list(config.store) if isinstance(config.store, ListConfig) else config.store,
            run.parent / PREDICTIONS,
            VALIDATION,
            device="cpu" if config.trainer.accelerator == "cpu" else None,
            resume=True,
            save_probabilities=run.parent.name in self.mapped,
            trust=list(config.trust),
        )
        if done.failures:
            raise RuntimeError(
                f"{len(done.failures)} held-out cases failed: {'; '.join(map(str, done.failures))}"
            )
        return score
