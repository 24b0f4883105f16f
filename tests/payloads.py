"""What somebody may write into a file so that it runs, writes, deletes or tells something when it is read."""

import io
import json
import os
import pickle
import subprocess

import numpy as np
import tiny_models
import torch

from ingradient_pl.spec import to_spec


def targets(folder):
    """Mappings that a config would build; each leaves ``folder/canary`` or removes ``folder/kept``."""
    canary, kept = str(folder / "canary"), str(folder / "kept")
    touch = ["touch", canary]
    external = "ingradient_pl.networks.external.external_network"
    return {
        "popen": {"_target_": "subprocess.Popen", "args": touch},
        "run": {"_target_": "subprocess.run", "_args_": [touch]},
        "system": {"_target_": "os.system", "_args_": [f"touch {canary}"]},
        "posix": {"_target_": "posix.system", "_args_": [f"touch {canary}"]},
        "eval": {"_target_": "builtins.eval", "_args_": [f"open({canary!r}, 'w')"]},
        "open": {"_target_": "builtins.open", "file": canary, "mode": "w"},
        "handler": {"_target_": "logging.FileHandler", "filename": canary},
        "rmtree": {"_target_": "shutil.rmtree", "path": kept},
        "partial": {"_target_": "functools.partial", "_args_": ["os.system", f"touch {canary}"]},
        "hydra": {"_target_": "hydra.utils.call", "config": {"_target_": "subprocess.Popen", "args": touch}},
        "ours writes": {"_target_": "ingradient_pl.files.replace_file", "path": canary, "content": "x"},
        "ours deletes": {"_target_": "ingradient_pl.files.remove_folder", "folder": kept},
        "ours phantoms": {
            "_target_": "ingradient_pl.datasets.phantom_files.write_phantoms",
            "folder": canary,
        },
        "ours through": {"_target_": "ingradient_pl.unfinished.shutil.rmtree", "path": kept},
        "external popen": {"_target_": external, "target": "subprocess.Popen", "arguments": {"args": touch}},
        "external file": {
            "_target_": external,
            "target": "logging.FileHandler",
            "arguments": {"filename": canary},
        },
        "external call": {
            "_target_": external,
            "target": "os.system",
            "arguments": {"command": f"touch {canary}"},
        },
        "torch load": {"_target_": "torch.load", "f": str(folder / "evil.pt"), "weights_only": False},
        "numpy load": {"_target_": "numpy.load", "file": str(folder / "evil.npy"), "allow_pickle": True},
        "hub": {"_target_": "torch.hub.load", "repo_or_dir": str(folder), "model": "evil", "source": "local"},
        "a resolved name": {"_target_": "${oc.decode:subprocess.Popen}", "args": touch},
    }


def texts(folder):
    """Strings that OmegaConf would work out, by name."""
    popen = json.dumps({"_target_": "subprocess.Popen", "args": ["touch", str(folder / "canary")]})
    inner = "${oc.decode:'" + popen.replace("'", "") + "'}"
    return {
        "create": "${oc.create:" + inner + "}",
        "decode": inner,
        "environment": "${oc.env:SECRET_OF_A_TEST}",
        "escaped": "\\${oc.env:SECRET_OF_A_TEST}",
        "escaped twice": "\\\\${oc.env:SECRET_OF_A_TEST}",
        "inside": "a data set of ${oc.env:SECRET_OF_A_TEST} cases",
        "a name made of names": "${${plan.orientation}.env:SECRET_OF_A_TEST}",
        "select": "${oc.select:plan.none,${oc.env:SECRET_OF_A_TEST}}",
        "dictionary": "${oc.dict.values:plan}",
        "deprecated": "${oc.deprecated:plan}",
    }


def places(folder, outside):
    """Entries of a run's config that write elsewhere, by name of the entry."""
    checkpoint = "pytorch_lightning.callbacks.ModelCheckpoint"
    return {
        "callbacks.best.dirpath": str(outside),
        "callbacks.best.filename": "../../../canary",
        "callbacks.mine": {"_target_": checkpoint, "dirpath": f"{folder}/../{outside.name}"},
        "callbacks.other": {"_target_": checkpoint, "dirpath": "${written}"},
        "callbacks.remote": {"_target_": checkpoint, "dirpath": "s3://bucket/run"},
        "callbacks.home": {"_target_": checkpoint, "dirpath": "~/canary"},
        "callbacks.relative": {"_target_": checkpoint, "dirpath": "beside"},
        "callbacks.positional": {"_target_": checkpoint, "_args_": ["beside"]},
        "callbacks.nothing": {"_target_": checkpoint, "dirpath": "a\0b"},
        "trainer.default_root_dir": str(outside),
        "logger.csv.save_dir": str(outside),
        "logger.tensorboard.name": "../../../canary",
        "logger.wandb": {"_target_": "pytorch_lightning.loggers.WandbLogger", "save_dir": str(folder)},
        "logger.mlflow": {"_target_": "pytorch_lightning.loggers.MLFlowLogger", "tracking_uri": "http://x.y"},
    }


def run_config():
    """What a run leaves behind, in short."""
    folder = "${hydra:runtime.output_dir}"
    return {
        "data": {
            "_target_": "ingradient_pl.lightning.datamodule.SegmentationData",
            "store": "/a/store",
            "plan": "${plan}",
        },
        "module": {
            "_target_": "ingradient_pl.lightning.module.SegmentationModule",
            "network": {"_target_": "ingradient_pl.networks.unet.UNet", "channels": "${plan.channels}"},
            "loss": {
                "_target_": "ingradient_pl.losses.dice_ce.DiceCE",
                "ignore": "${oc.select:plan.ignore,null}",
            },
            "optimizer": {"_target_": "torch.optim.RMSprop", "_partial_": True},
            "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True},
        },
        "callbacks": {
            "best": {
                "_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
                "dirpath": f"{folder}/checkpoints",
            },
            "timer": {"_target_": "pytorch_lightning.callbacks.Timer"},
        },
        "logger": {
            "csv": {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": folder},
            "tensorboard": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": folder},
        },
        "trainer": {
            "_target_": "pytorch_lightning.Trainer",
            "default_root_dir": folder,
            "accelerator": "cpu",
        },
        "plan": to_spec(tiny_models.plan()),
        "written": "/somewhere/else",
        "seed": 0,
    }


def documents(folder):
    """Whole YAML documents whose tags would build something, by name."""
    canary = folder / "canary"
    calls = {
        "apply system": f"apply:os.system ['touch {canary}']",
        "apply eval": f"apply:builtins.eval [\"open('{canary}', 'w')\"]",
        "apply open": f"apply:builtins.open ['{canary}', w]",
        "apply popen": f"apply:subprocess.Popen [[touch, '{canary}']]",
        "new popen": f"new:subprocess.Popen [[touch, '{canary}']]",
        "new handler": f"new:logging.FileHandler ['{canary}']",
    }
    made = {name: f"a: !!python/object/{call}\n" for name, call in calls.items()}
    return made | {
        "name": "a: !!python/name:os.system\n",
        "module": "a: !!python/module:antigravity\n",
        "object": "a: !!python/object:pathlib.PosixPath {}\n",
        "itself": "a: &a [*a]\n",
    }


class _Calls:
    def __init__(self, function, *arguments):
        self.told = function, arguments

    def __reduce__(self):
        return self.told


def pickles(folder):
    """Contents of files that run something where they are unpickled: plain, in a zip, in an array."""
    canary = str(folder / "canary")
    calls = {
        "open": _Calls(open, canary, "w"),
        "system": _Calls(os.system, f"touch {canary}"),
        "eval": _Calls(eval, f"open({canary!r}, 'w')"),
        "popen": _Calls(subprocess.Popen, ["touch", canary]),
    }
    made = {f"{name} {n}": pickle.dumps(call, n) for name, call in calls.items() for n in (0, 2, 4)}
    for name, call in calls.items():
        zipped, array = io.BytesIO(), io.BytesIO()
        torch.save({"state_dict": call, "ingradient": call}, zipped)
        np.savez(array, data=np.array([call], object), seg=np.array([call], object))
        made |= {f"{name} torch": zipped.getvalue(), f"{name} npz": array.getvalue()}
    return made
