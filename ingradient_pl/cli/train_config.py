"""Train what a composed config describes: every group is one constructor, called here."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ingradient_pl.cli.failures import UsageError, is_first_rank
from ingradient_pl.cli.loggers import make_loggers
from ingradient_pl.cli.network_inputs import set_network_inputs
from ingradient_pl.cli.number_values import check_numbers
from ingradient_pl.cli.suggestions import NESTED
from ingradient_pl.commands.prepare import MOST_WORKERS
from ingradient_pl.inference.checkpoint import read, read_content
from ingradient_pl.lightning.callbacks.run_config import RunConfig
from ingradient_pl.lightning.further_volumes import MODEL, check_stage
from ingradient_pl.lightning.init_weights import InitWeights
from ingradient_pl.lightning.quiet import without_advice, without_useless
from ingradient_pl.lightning.record_file import is_finished, read_record, write_record
from ingradient_pl.lightning.resumable import complete_record
from ingradient_pl.lightning.run_files import LAST, TOLD
from ingradient_pl.lightning.run_log import tell
from ingradient_pl.lightning.targets import check_kinds
from ingradient_pl.lightning.training import fit, seed_everything
from ingradient_pl.messages import nearest, say
from ingradient_pl.phrases import say_count
from ingradient_pl.spec import TARGET, TRUSTED
from ingradient_pl.store.case_store import CaseStore

COUNTS = {
    "seed": (0, 2**32 - 1, False),
    "epochs": (1, sys.maxsize, False),
    "batches_per_epoch": (1, sys.maxsize, True),
    "data.workers": (0, MOST_WORKERS, True),
}
"""Keys that count something: the least and the most, and whether null leaves it open."""


CHOICES = {"init_split": ("own", "source"), "init_folds": ("first", "mean")}
"""Keys that name one of a few ways, and those there are: asked where nothing uses them, too."""

FOR_WEIGHTS = "finetune"
"""In the name of each option of a group that is made for a start from trained weights."""


def train(config: DictConfig) -> float:
    """Fit what ``config`` describes; return the metric that a sweep maximises (NaN where none was logged).

    Args:
        config: Composed, and no reference in it missing.

    Raises:
        UsageError: If no store or no plan was given.
    """
    if OmegaConf.is_missing(config, "store") or config.store is None:
        raise UsageError(
            "No store was given. Name the one that `ingradient prepare` wrote, store=DIR, or a data set, "
            "which is prepared first: source=DATASET"
        )
    if "plan" not in config:
        _check_stores(config)
        raise UsageError(
            "No plan was given. Write one with `ingradient plan --store DIR --output plan.yaml` "
            "and name it: plan=plan.yaml"
        )
    check_words(config)
    check_numbers(config)
    run = Path(config.trainer.default_root_dir)
    record = complete_record(run) if config.resume == str(run / LAST) else {}
    if is_finished(run, config.epochs, record):
        return _report_finished(run, config, record)
    init = read_init(config)
    if init is None and config.resume is None:
        _tell_from_scratch(config)
    set_network_inputs(config)
    seed_everything(config.seed)
    data = instantiate(config.data)
    module = instantiate(config.module)
    if init is not None:
        init(module, data, run)
    callbacks = choose_callbacks(config)
    with without_advice():
        trainer = instantiate(config.trainer, callbacks=callbacks, logger=make_loggers(config.logger))
    keep_settings(trainer, config)
    return fit(trainer, module, data, config.resume, config.maximise)


def _check_stores(config: DictConfig) -> None:
    """Refuse what is not a case store: it is why there is no plan, which is made from one."""
    for store in [config.store] if isinstance(config.store, str) else config.store:
        try:
            CaseStore(Path(store))
        except (ValueError, OSError) as error:
            raise UsageError(str(error)) from error


def _report_finished(run: Path, config: DictConfig, record: Mapping[str, Any]) -> float:
    """Say that a run is over, and give what it reached; refuse one that saw another stage before it."""
    if config.data.get("previous") is not None:
        check_stage(read_content(run / LAST), read(Path(config.data.previous) / MODEL))
    if is_first_rank() and record != read_record(run):
        write_record(run, record)
    swept = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN  # of one length
    again = shlex.quote(f"resume={run}")
    more = "" if swept else f" To train on, ask for more: {again} epochs={2 * record['epochs_done']}"
    say(f"{run} is finished: it has trained {say_count(record['epochs_done'], 'epoch')}.{more}")
    shutil.rmtree(run / TOLD, ignore_errors=True)
    reached = record.get("scores", {}).get(config.maximise)
    return float("nan") if reached is None else float(reached)


def read_init(config: DictConfig) -> InitWeights | None:
    """Give what the weights of a new run start from; None where it says nothing, or goes on with its own.

    Args:
        config: Of the run.

    Raises:
        UsageError: If both ``init_from`` and a run to go on from are given, or it is not a path.
    """
    path = config.get("init_from")
    if path is None:
        return None
    if not isinstance(path, str):
        raise UsageError(f"init_from= names one file or folder; got {path}.")
    if config.resume is not None and config.resume != str(Path(config.trainer.default_root_dir) / LAST):
        raise UsageError(
            f"init_from={path} starts a new run from weights, and resume={config.resume} goes on with a run: "
            "give one of the two."
        )
    if config.resume is not None:
        return None
    trusted = (*TRUSTED, *config.get("trust", ()))
    mapping = config.get("init_mapping")
    return InitWeights(
        Path(path),
        config.init_at_least,
        config.init_folds,
        config.init_split,
        trusted,
        None if mapping is None else Path(mapping),
    )


def _tell_from_scratch(config: DictConfig) -> None:
    """Say that options for trained weights were chosen, and none are named: a network may bring its own."""
    chosen = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    named = [f"{group}={option}" for group, option in chosen.items() if FOR_WEIGHTS in str(option)]
    if named:
        tell(
            f"Note: {named[0]} is for weights that are good already (its learning rate is low), and no "
            "init_from names them: the network trains from what it is made with. Give init_from=FILE, or "
            "take recipe=fast."
        )
    frozen = config.module.get("freeze")
    if frozen:
        tell(
            f"Note: module.freeze={frozen} keeps weights that are good already, and no init_from names them: "
            "they stay as the network is made. Give init_from=FILE, or leave it out."
        )


def choose_callbacks(config: DictConfig) -> list[Any]:
    """Make the callbacks of a run, without those that its trainer has no use for.

    Args:
        config: Of the run.
    """
    made = [*instantiate_group(config.callbacks), RunConfig()]
    bars = config.trainer.get("enable_progress_bar", True)
    return without_useless(made, bars=bars, logged=bool(config.logger))


def keep_settings(trainer: Any, config: DictConfig) -> None:
    """Hand the whole config to every logger, so that runs can be told apart there.

    Args:
        trainer: With its loggers.
        config: Of the run; Hydra's own part is left out.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    own._set_parent(None)
    kept: Any = OmegaConf.to_container(own, resolve=True)
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_hyperparams(kept)


def instantiate_group(group: DictConfig | None) -> list[Any]:
    """Make what a group names; null switches the group or one of its entries off.

    Args:
        group: A mapping of names to nodes with ``_target_``; None makes nothing.
    """
    for name, entry in (group or {}).items():
        if not isinstance(entry, (DictConfig, NoneType)):
            raise UsageError(
                f"{'callbacks.' + str(name)} must be described by a {TARGET}, or null; got {entry!r}."
            )
    # without a target stands an option of what another option lacks
    described = [entry for entry in (group or {}).values() if entry is not None and TARGET in entry]
    return [made for made in map(instantiate, described) if made is not None]


def check_words(config: DictConfig) -> None:
    """Refuse what a config cannot mean, whatever its plan and its data are.

    Args:
        config: Composed, with a plan or without.

    Raises:
        UsageError: If a key has a value that it does not take.
        ValueError: If something else stands where a network, a loss, ... is built.
    """
    _check_objects(config)
    _check_counts(config)
    _check_choices(config)
    check_kinds(config_values(config))


def _check_objects(config: DictConfig) -> None:
    """Refuse a text, or null, in the place of an object: it was meant to choose an option of a group."""
    inside = {place: f"{group}@{place}" for group, place in NESTED.items()}
    for place in (*inside, "data", "module", "trainer", "callbacks", "logger", "plan"):
        found = OmegaConf.select(config, place)
        if isinstance(found, str):
            raise UsageError(
                f"{place}={found} puts a text where the config describes an object. To choose an option: "
                f"{inside.get(place, place)}={found}"
            )

    if config.data.get("split") is None:
        raise UsageError(
            "data.split=null does not divide the cases. To train on all of them: data.split.number=null"
        )
    for group, place in NESTED.items():
        where, _, name = place.rpartition(".")
        above = OmegaConf.select(config, where)
        if isinstance(above, DictConfig) and name in above and above[name] is None:
            off = ": none switches it off" if group == "augment" else ""
            raise UsageError(
                f"{place}=null would not switch it off, but leave it to what the code takes by itself. To "
                f"choose an option: {group}@{place}=NAME{off}"
            )


def config_values(config: DictConfig) -> dict[str, Any]:
    """Give what a config says as plain values, references as they are written.

    Args:
        config: Of the run.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return cast(dict[str, Any], plain)


def _check_choices(config: DictConfig) -> None:
    """Refuse a word that names none of the ways there are, and one that nothing would use."""
    for name, choices in CHOICES.items():
        found = OmegaConf.select(config, name, default=choices[0])
        if found not in choices and config.get("init_from") is None:  # which refuses it with more words
            near = nearest(str(found), choices)
            raise UsageError(f"{name} is one of {', '.join(choices)}; got {found!r}.{near}")
    told = {**{name: choices[0] for name, choices in CHOICES.items()}, "init_mapping": None}
    idle = [name for name, usual in told.items() if OmegaConf.select(config, name, default=usual) != usual]
    if idle and config.get("init_from") is None:
        raise UsageError(f"{idle[0]} does nothing without init_from=FILE: give both, or neither.")


def _check_counts(config: DictConfig) -> None:
    """Refuse what does not count anything before anything is built of it."""
    for name, (least, most, none) in COUNTS.items():
        found = OmegaConf.select(config, name)
        whole = isinstance(found, int) and not isinstance(found, bool)
        if (found is None and none) or (
            whole and (least <= found <= most or (found, name) == (-1, "epochs"))
        ):
            continue
        upwards = f"from {least}" if most == sys.maxsize else f"from {least} to {most}"
        raise UsageError(
            f"{name} must be a whole number {upwards}{' or null' if none else ''}, got {found!r}."
        )
    processes, batch = (OmegaConf.select(config, key) for key in ("trainer.devices", "plan.batch_size"))
    if isinstance(processes, int) and isinstance(batch, int) and processes > batch:  # before they are started
        raise UsageError(
            f"trainer.devices={processes} processes cannot share batches of {batch} patches: each needs one. "
            "Take fewer, or a larger plan.batch_size."
        )
