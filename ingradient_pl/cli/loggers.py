"""The loggers of a run; one that lacks its package or its account is left out, and the run goes on."""

import os
import re
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from ingradient_pl.cli.failures import is_first_rank
from ingradient_pl.messages import LOGGER
from ingradient_pl.phrases import one_line
from ingradient_pl.spec import TARGET

OWN_FILES = ("CSVLogger", "TensorBoardLogger")
"""Loggers that need nothing but the run's folder: what fails in them is a fault of the disk."""

EXTRAS = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow", "CometLogger": "comet", "AimLogger": "aim"}
LOCAL = "sqlite:///"
"""What the address of MLflow's own file begins with; a server keeps pictures where it likes."""
QUIET = {
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_ERROR_TRACKING_ENABLE": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_GIT": "true",
}
"""Keeps loggers from reporting to their makers by themselves, from logging beside Lightning (Comet would warn
that it is imported too late for it), and from git, whose settings in a checkout of somebody else run
programs; where the environment says nothing else."""
ADDRESS = re.compile(r"[?#%]")
"""Letters that mean something else in the address of a database than in the name of its file."""

SETTINGS = {
    "WandbLogger": ("wandb_", ("wandb/settings", ".wandb/settings")),
    "CometLogger": ("comet_", (".comet.config", ".env")),
}
"""What variables of the environment begin with, and files of the working directory that say the same."""

SETTING = re.compile(r"^\s*(?:export\s+)?(\w+)\s*[=:]", re.MULTILINE)
NAMES = ("entity", "project", "workspace", "project_name", "experiment_name")
"""Settings that say nothing but where a run is filed."""


def make_loggers(group: DictConfig | None) -> list[Any]:
    """Make the loggers that a config names; null switches the group or one of them off.

    Args:
        group: Its ``logger``.

    Returns:
        Those that can start. Of the others the first process says, once, what they lack.

    Raises:
        InstantiationException: If a logger is given what it does not take.
    """
    described = {
        name: entry
        for name, entry in (group or {}).items()
        if not isinstance(entry, DictConfig) or TARGET in entry
    }
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    made = [_make(str(name), entry) for name, entry in described.items()]
    return [logger for logger in made if logger is not None]


def _make(name: str, entry: Any) -> Any:
    if told := _find_settings(entry) or _find_address(entry):
        _leave_out(name, told)
        return None
    try:
        logger = instantiate(entry)
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, TypeError) or not _is_of_others(entry):
            raise
        if isinstance(cause, ImportError):
            _leave_out(name, f"its package is missing ({one_line(cause)}). {_cure(entry)}")
        else:
            _leave_out(name, f"it does not start ({one_line(cause)}).")
        return None
    return _open(name, logger, entry) if logger is not None and _is_of_others(entry) else logger


def _open(name: str, logger: Any, entry: Any) -> Any:
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)  # Lightning's word; W&B warns of it
    try:
        if is_first_rank():
            getattr(logger, "experiment", None)  # opens the run there now, and not behind the first epoch
            if elsewhere := _find_other_place(logger, entry):
                _leave_out(name, f"{entry.tracking_uri} keeps pictures in {elsewhere}. Move that file away.")
                return None
    except Exception as error:  # noqa: BLE001 - an account, a network, an address: whatever it says
        _leave_out(name, f"it does not start ({one_line(error)}).")
        return None
    return logger


def _find_settings(entry: Any) -> str | None:
    """Say which file of the working directory, perhaps somebody else's, tells where figures and keys go."""
    prefix, files = SETTINGS.get(_class_name(entry) if entry else "", ("", ()))
    for file in map(Path, files):
        if not file.is_file() or Path.cwd() == Path.home():
            continue
        found = [name.lower() for name in SETTING.findall(file.read_text(encoding="utf-8", errors="replace"))]
        if file.name == ".env":
            found = [name for name in found if name.startswith(prefix)]
        names = [name.removeprefix(prefix) for name in found]
        odd = [name for name in names if name not in NAMES and f"{prefix}{name}".upper() not in os.environ]
        if odd:
            variable = f"{prefix}{odd[0]}".upper()
            return (
                f"{file} in the working directory sets '{odd[0]}', and may send what is logged to others. "
                f"Move it away, or say yourself what it is: {variable}=VALUE."
            )
    return None


def _find_address(entry: Any) -> str | None:
    """Say that a place on this disk cannot be written as the address of a database."""
    place = str((entry.get("tracking_uri") or entry.get("repo") or "") if entry else "")
    local = place.startswith(LOCAL) or "://" not in place
    found = ADDRESS.search(place) if local else None
    if found is None:
        return None
    return f"{place} cannot be an address, as there is {found[0]!r} in it. Name the run's folder otherwise."


def _find_other_place(logger: Any, entry: Any) -> str | None:
    """Give where a database that came with the run's folder has pictures written, if that is elsewhere."""
    wanted = entry.get("artifact_location")
    if wanted is None or not str(entry.get("tracking_uri")).startswith(LOCAL):
        return None
    found = str(logger.experiment.get_run(logger.run_id).info.artifact_uri).removeprefix("file://")
    return None if Path(found).resolve().is_relative_to(Path(wanted).resolve()) else found


def _leave_out(name: str, why: str) -> None:
    if is_first_rank():
        LOGGER.warning("logger.%s is left out: %s The run goes on without it.", name, why)


def _is_of_others(entry: Any) -> bool:
    return _class_name(entry) not in OWN_FILES


def _class_name(entry: Any) -> str:
    return str(entry[TARGET]).rpartition(".")[2]


def _cure(entry: Any) -> str:
    extra = EXTRAS.get(_class_name(entry))
    return "Install what it needs." if extra is None else f"Install it: pip install 'ingradient_pl[{extra}]'."
