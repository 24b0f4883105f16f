"""nnU-Net's method as a PyTorch Lightning application; importing the package imports nothing heavy.

import ingradient_pl as ip

store = ip.prepare("DATASET", "store")
plan = ip.plan(store)
model = ip.load("run/checkpoints/last.ckpt")
label = model.predict(array, spacing)
"""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.cli.cascade_training import cascade as cascade
    from ingradient_pl.cli.cross_validation import crossval as crossval
    from ingradient_pl.cli.python_run import train as train
    from ingradient_pl.commands.calibrate import calibrate as calibrate
    from ingradient_pl.commands.compare import compare as compare
    from ingradient_pl.commands.doctor import doctor as doctor
    from ingradient_pl.commands.evaluate import evaluate as evaluate
    from ingradient_pl.commands.export import export as export
    from ingradient_pl.commands.export_nnunet import export_nnunet as export_nnunet
    from ingradient_pl.commands.import_nnunet import import_nnunet as import_nnunet
    from ingradient_pl.commands.info import info as info
    from ingradient_pl.commands.load import load as load
    from ingradient_pl.commands.phantoms import phantoms as phantoms
    from ingradient_pl.commands.plan import plan as plan
    from ingradient_pl.commands.postprocess import postprocess as postprocess
    from ingradient_pl.commands.predict import Predictions as Predictions
    from ingradient_pl.commands.predict import predict as predict
    from ingradient_pl.commands.prepare import prepare as prepare
    from ingradient_pl.commands.report import report as report
    from ingradient_pl.commands.show import show as show
    from ingradient_pl.datasets.split_records import Split as Split
    from ingradient_pl.datasets.splits import Fold as Fold
    from ingradient_pl.draws.affine import RandomAffine as RandomAffine
    from ingradient_pl.draws.elastic import RandomElasticDeformation as RandomElasticDeformation
    from ingradient_pl.draws.planned import draws as draws
    from ingradient_pl.draws.training import TrainingDraws as TrainingDraws
    from ingradient_pl.geometry import Box as Box
    from ingradient_pl.geometry import Grid as Grid
    from ingradient_pl.inference.predictor import Predictor as Predictor
    from ingradient_pl.lightning.datamodule import SegmentationData as SegmentationData
    from ingradient_pl.lightning.module import SegmentationModule as SegmentationModule
    from ingradient_pl.losses.deep_supervision import DeepSupervision as DeepSupervision
    from ingradient_pl.losses.dice_ce import DiceCE as DiceCE
    from ingradient_pl.metrics.evaluation import Evaluation as Evaluation
    from ingradient_pl.networks.unet import UNet as UNet
    from ingradient_pl.planning.constructors import loss as loss
    from ingradient_pl.planning.constructors import unet as unet
    from ingradient_pl.planning.fingerprint import Fingerprint as Fingerprint
    from ingradient_pl.planning.plan import Plan as Plan
    from ingradient_pl.planning.plan_yaml import read_plan as read_plan
    from ingradient_pl.planning.plan_yaml import write_plan as write_plan
    from ingradient_pl.planning.planner import Planner as Planner
    from ingradient_pl.store.case_store import CaseStore as CaseStore
    from ingradient_pl.store.case_volumes import CaseVolumes as CaseVolumes
    from ingradient_pl.store.case_volumes import write_volume as write_volume
    from ingradient_pl.task import Task as Task
    from ingradient_pl.transforms.augment import Augment as Augment
    from ingradient_pl.transforms.patch import Batch as Batch
    from ingradient_pl.transforms.patch import Patch as Patch

__version__ = "0.1.0"

RETIRED = {
    "RandomBend": "RandomElasticDeformation",
    "RandomMotion": "RandomAffine",
    "outside": "external_network, in ingradient_pl.networks",
    "sampling": "draws",
    "optimisers": "optimizers",
}
"""Names of before to what stands in their place."""

__all__, __getattr__, __dir__ = attach(__name__, RETIRED)
