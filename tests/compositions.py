"""Hydra's composition of a config, read and merged once for each choice of groups, then copied.

To compose the config of a run reads and merges thirty files, five times as much as all else that a short test
of a setting does. Values of single keys are put over the copy by Hydra itself, as ever.
"""

import copy
import functools
from collections.abc import Hashable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import omegaconf
import yaml
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import DefaultsList, Overrides
from omegaconf._utils import get_yaml_loader

LISTS: dict[Hashable, tuple[Any, Any]] = {}
CONFIGS: dict[Hashable, Any] = {}
LIST_DEFAULTS: Any = config_loader_impl.create_defaults_list
MERGE: Any = ConfigLoaderImpl._compose_config_from_defaults_list


def keep_compositions():
    """Have Hydra keep what it composes, in this process."""
    omegaconf.omegaconf.yaml = SimpleNamespace(**{**vars(yaml), "load": _parse_once})
    config_loader_impl.create_defaults_list = _list_defaults
    ConfigLoaderImpl._compose_config_from_defaults_list = _merge


@functools.cache
def _parsed(text):
    return yaml.load(text, Loader=get_yaml_loader())


def _parse_once(stream, Loader):  # noqa: N803 - as PyYAML has it
    text = stream if isinstance(stream, str) else stream.read()
    try:
        return copy.deepcopy(_parsed(text))
    except yaml.YAMLError:
        if stream is not text:
            stream.seek(0)  # for the error that names the file
        return yaml.load(stream, Loader=Loader)


def _list_defaults(repo, config_name, overrides_list, prepend_hydra, skip_missing):
    told = Overrides(repo=repo, overrides_list=overrides_list)
    groups = repr([told.override_choices, [vars(one) for one in told.append_group_defaults], told.deletions])
    key = (_content(repo), config_name, groups, prepend_hydra, skip_missing)
    if key not in LISTS:
        made = LIST_DEFAULTS(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        LISTS[key] = made.defaults, made.overrides.known_choices
        return made
    defaults, told.known_choices = LISTS[key]
    return DefaultsList(defaults, None, told.config_overrides, told)


def _merge(loader, defaults, repo):
    key = (_content(repo), repr([vars(one) for one in defaults]))
    if key not in CONFIGS:
        CONFIGS[key] = MERGE(loader, defaults, repo)
    return copy.deepcopy(CONFIGS[key])


def _content(repo):
    """The files of folders beside the package's; those do not change while tests run."""
    return tuple(
        (file.name, file.parent.name, file.read_bytes())
        for source in repo.get_sources()
        if source.scheme() == "file"
        for file in sorted(Path(source.path).rglob("*.yaml"))
    )
