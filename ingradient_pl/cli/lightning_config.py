"""``ingradient lightning-config``: the config of a Hydra run as a file for ``ingradient fit``."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict

from ingradient_pl.cli.class_paths import write_plain
from ingradient_pl.cli.network_inputs import set_network_inputs
from ingradient_pl.cli.options import run
from ingradient_pl.cli.overrides import quote_paths, read_paths
from ingradient_pl.cli.plan_overrides import with_plans
from ingradient_pl.files import replace_file
from ingradient_pl.inference.answer_files import check_report
from ingradient_pl.scratch import scratch_folder
from ingradient_pl.store.store_union import open_stores

FIRST_KEY = "seed_everything"
"""Of a config of LightningCLI, by which one that may be replaced is known."""


def convert_config(
    store: str,
    plan: str,
    output: str = "fit.yaml",
    run_dir: str = "fit_run",
    overrides: list[str] | None = None,
) -> None:
    """Write what `ingradient-train store=STORE plan=PLAN OVERRIDES` would run as a config of LightningCLI.

    Args:
        store: Folder written by `ingradient prepare`.
        plan: YAML file written by `ingradient plan`.
        output: YAML file to write; run it with: ingradient fit --config OUTPUT
        run_dir: Folder for checkpoints, logs and pictures.
        overrides: What ingradient-train would be told, such as [epochs=10,trainer=cpu].

    Raises:
        OutputError: If the output would replace a file that is something else.
        StoreError: If there is no store.
    """
    stores = read_paths(store)
    check_report(output, [Path(plan), *map(Path, stores)], (".yaml", ".yml"), FIRST_KEY.encode())
    open_stores(stores)
    told = quote_paths([f"store={store}", f"plan={plan}", *(overrides or ()), f"hydra.run.dir={run_dir}"])
    with scratch_folder() as folder, initialize_config_module("ingradient_pl.conf", version_base="1.3"):
        config = compose("train", with_plans(told, folder))
        set_network_inputs(config)
        OmegaConf.register_new_resolver("hydra", lambda _: run_dir, replace=True)
        plain: Any = OmegaConf.to_container(config, resolve=True)
    written = write_plain(plain)
    replace_file(Path(output), yaml.safe_dump(written, sort_keys=False, allow_unicode=True).encode())
    print(f"Written to {output}. Train: ingradient fit --config {shlex.quote(str(output))}")


def default_config(run_dir: str) -> dict[str, Any]:
    """Give what `ingradient fit` runs where no config is named: the fast recipe, without what a plan decides.

    Args:
        run_dir: Folder for checkpoints, logs and pictures.
    """
    with initialize_config_module("ingradient_pl.conf", version_base="1.3"):
        config = compose("train", ["recipe=fast"])
    OmegaConf.register_new_resolver("hydra", lambda _: run_dir, replace=True)
    with open_dict(config):
        for group, planned in (("data", ("store", "plan")), ("module", ("network", "loss"))):
            for name in planned:
                del config[group][name]
        del config["store"]
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return write_plain(plain)


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The command and its options, without the program's name.
    """
    run(convert_config, arguments)
