"""Train what a composed config describes: every group is one constructor, called here."""

from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ingradient_pl.cli.failures import UsageError
from ingradient_pl.lightning.callbacks.run_config import RunConfig
from ingradient_pl.lightning.targets import check_kinds
from ingradient_pl.lightning.training import fit, seed_everything


def train(config: DictConfig) -> float:
    """Fit what ``config`` describes; return the metric that a sweep maximises (NaN where none was logged).

    Raises:
        UsageError: If no plan was given.
    """
    if "plan" not in config:
        raise UsageError(
            "No plan was given. Write one with `ingradient plan --store DIR --output plan.yaml` "
            "and name it: plan=plan.yaml"
        )
    _check_counts(config)
    check_kinds(config_values(config))
    seed_everything(config.seed)
    data = instantiate(config.data)
    module = instantiate(config.module)
    callbacks = [*instantiate_group(config.callbacks), RunConfig()]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=instantiate_group(config.logger))
    return fit(trainer, module, data, config.resume, config.maximise)


def instantiate_group(group: DictConfig | None) -> list[Any]:
    """Make what a group names; null switches the group or one of its entries off."""
    return [made for made in instantiate(group or {}).values() if made is not None]


def config_values(config: DictConfig) -> dict[str, Any]:
    """Give what a config says as plain values, references as they are written."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return cast(dict[str, Any], plain)


def _check_counts(config: DictConfig) -> None:
    """Refuse what does not count anything before anything is built of it."""
    for name in ("seed", "epochs", "batches_per_epoch"):
        found = config[name]
        none = name == "batches_per_epoch" and found is None
        if not none and (not isinstance(found, int) or (found == 0 and name != "seed")):
            raise UsageError(f"{name} must be a whole number and not 0, got {found!r}.")
