"""Plans that nnU-Net wrote are read as what they mean, or refused with a reason."""

import copy
import json

import pytest

from ingradient_pl.datasets.descriptions import task_of
from ingradient_pl.nnunet.plans import read_nnunet_plans
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT, ZScore

TASK = Task(("CT", "PET"), {"background": 0, "liver": 1, "tumour": 2})
PROBABILITIES = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
NETWORK = {
    "n_stages": 3,
    "features_per_stage": [32, 64, 128],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 2, 3],
    "n_conv_per_stage_decoder": [5, 4],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
FULL = {
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [16, 32, 32],
    "median_image_size_in_voxels": [40.0, 100.5, 90.0],
    "spacing": [3.0, 0.8, 0.8],
    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
    "use_mask_for_norm": [False, True],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {**PROBABILITIES, "order": 3},
    "resampling_fn_seg_kwargs": {**PROBABILITIES, "is_seg": True},
    "resampling_fn_probabilities_kwargs": PROBABILITIES,
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": NETWORK,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    },
    "batch_dice": True,
}
FOREGROUND = {
    "mean": 40.0,
    "median": 41.0,
    "std": 20.0,
    "min": -900.0,
    "max": 2000.0,
    "percentile_00_5": -50.0,
    "percentile_99_5": 300.0,
}
PLANS = {
    "dataset_name": "Dataset001_Made",
    "plans_name": "nnUNetPlans",
    "original_median_spacing_after_transp": [3.0, 0.8, 0.8],
    "original_median_shape_after_transp": [40, 100, 90],
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [2, 0, 1],
    "experiment_planner_used": "ExperimentPlanner",
    "foreground_intensity_properties_per_channel": {"0": FOREGROUND, "1": FOREGROUND},
    "configurations": {
        "3d_fullres": FULL,
        "small": {"inherits_from": "3d_fullres", "batch_size": 7},
        "3d_cascade_fullres": {"inherits_from": "small", "previous_stage": "3d_lowres"},
    },
}


@pytest.fixture
def written(tmp_path):
    def write(change=lambda plans: None):
        plans = copy.deepcopy(PLANS)
        change(plans)
        path = tmp_path / "nnUNetPlans.json"
        path.write_text(json.dumps(plans))
        return path

    return write


def test_a_configuration_becomes_a_plan(written):
    plan = read_nnunet_plans(written(), TASK)["3d_fullres"]
    assert (plan.channels, plan.outputs, plan.batch_size, plan.batch_dice) == (2, 3, 2, True)
    assert plan.patch == (16, 32, 32)
    assert plan.spacing == (3.0, 0.8, 0.8)
    assert plan.widths == (32, 64, 128)
    assert plan.strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2))
    assert plan.kernels == ((1, 3, 3), (3, 3, 3), (3, 3, 3))
    assert plan.normalisation == (CT(-50.0, 300.0, 40.0, 20.0), ZScore(masked=True))
    assert (plan.transpose, plan.orientation, plan.residual) == ((2, 0, 1), "stored", False)


def test_decoder_blocks_run_from_the_finest_and_not_as_the_decoder_climbs(written):
    plan = read_nnunet_plans(written(), TASK)["3d_fullres"]
    assert (plan.blocks, plan.decoder_blocks) == ((2, 2, 3), (4, 5))


def test_configurations_inherit_through_several_steps(written):
    plans = read_nnunet_plans(written(), TASK)
    assert list(plans) == ["3d_fullres", "small", "3d_cascade_fullres"]
    cascade = plans["3d_cascade_fullres"]
    assert (cascade.batch_size, cascade.previous_stage, cascade.patch) == (7, "3d_lowres", (16, 32, 32))


def test_two_dimensions_are_three_with_one_slice(written):
    def change(plans):
        flat = plans["configurations"]["3d_fullres"]
        flat |= {"patch_size": [32, 32], "spacing": [0.8, 0.8]}
        flat["architecture"]["arch_kwargs"] |= {
            "kernel_sizes": [[3, 3]] * 3,
            "strides": [[1, 1], [2, 2], [2, 2]],
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        }
        plans["configurations"] = {"2d": flat}

    plan = read_nnunet_plans(written(change), TASK)["2d"]
    assert (plan.patch, plan.spacing) == ((1, 32, 32), (None, 0.8, 0.8))
    assert plan.kernels == ((1, 3, 3),) * 3
    assert plan.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2))


def test_residual_encoders_are_recognised(written):
    def change(plans):
        architecture = plans["configurations"]["3d_fullres"]["architecture"]
        architecture["network_class_name"] = "somewhere.ResidualEncoderUNet"
        architecture["arch_kwargs"]["n_blocks_per_stage"] = [1, 3, 4]
        del architecture["arch_kwargs"]["n_conv_per_stage"]

    plan = read_nnunet_plans(written(change), TASK)["3d_fullres"]
    assert (plan.residual, plan.blocks) == (True, (1, 3, 4))


def test_the_older_format_names_only_the_first_and_the_widest_stage(written):
    def change(plans):
        one = plans["configurations"]["3d_fullres"]
        del one["architecture"]
        one |= {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 32,
            "unet_max_num_features": 100,
            "n_conv_per_stage_encoder": [2, 2, 3],
            "n_conv_per_stage_decoder": [5, 4],
            "num_pool_per_axis": [1, 2, 2],
            "pool_op_kernel_sizes": NETWORK["strides"],
            "conv_kernel_sizes": NETWORK["kernel_sizes"],
        }

    old = read_nnunet_plans(written(change), TASK)["3d_fullres"]
    new = read_nnunet_plans(written(), TASK)["3d_fullres"]
    assert old.widths == (32, 64, 100)
    assert (old.strides, old.kernels, old.blocks, old.decoder_blocks) == (
        new.strides,
        new.kernels,
        new.blocks,
        new.decoder_blocks,
    )


def test_readers_that_turn_images_give_the_orientation(written):
    path = written(lambda plans: plans.update(image_reader_writer="NibabelIOWithReorient"))
    assert read_nnunet_plans(path, TASK)["3d_fullres"].orientation == "RAS"


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"resampling_fn_data": "resample_torch_fornnunet"}, "resampling_fn_data is resample_torch"),
        ({"resampling_fn_seg_kwargs": {**PROBABILITIES, "order": 0}}, "resampling_fn_seg .* 'order': 0"),
        ({"preprocessor_name": "Mine"}, "'Mine'"),
        ({"normalization_schemes": ["Mine", "CTNormalization"]}, r"\['Mine'\].*known are ZScore"),
        ({"use_mask_for_norm": [False]}, "do not fit .*'CT', 'PET'"),
        ({"architecture": {"network_class_name": "a.Swin", "arch_kwargs": {}}}, "'Swin'; only PlainConvUNet"),
        ({"patch_size": [15, 32, 32]}, "'patch' of .*15"),
        ({"inherits_from": "3d_cascade_fullres"}, "inherits from itself"),
        ({"inherits_from": "nowhere"}, "no configuration 'nowhere'; there are 3d_fullres"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_by_name(written, entries, told):
    path = written(lambda plans: plans["configurations"]["3d_fullres"].update(entries))
    with pytest.raises(ValueError, match=told) as caught:
        read_nnunet_plans(path, TASK)
    assert str(path) in str(caught.value)
    assert "'3d_fullres'" in str(caught.value)


def test_another_network_part_is_refused(written):
    def change(plans):
        network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        network["norm_op"] = "torch.nn.modules.batchnorm.BatchNorm3d"

    with pytest.raises(ValueError, match="BatchNorm3d"):
        read_nnunet_plans(written(change), TASK)


def test_one_configuration_can_be_read_although_another_cannot(written):
    def change(plans):
        plans["configurations"]["odd"] = {**FULL, "preprocessor_name": "Mine"}

    path = written(change)
    assert list(read_nnunet_plans(path, TASK, ["small"])) == ["small"]
    with pytest.raises(ValueError, match="'odd'"):
        read_nnunet_plans(path, TASK)


def test_files_that_are_none_are_named(tmp_path, written):
    with pytest.raises(FileNotFoundError, match=r"away\.json"):
        read_nnunet_plans(tmp_path / "away.json", TASK)
    odd = tmp_path / "odd.json"
    for text in ("{", "[]", "{}"):
        odd.write_text(text)
        with pytest.raises(ValueError, match=r"odd\.json is not a plans file"):
            read_nnunet_plans(odd, TASK)
    path = written(lambda plans: plans["configurations"]["3d_fullres"].pop("spacing"))
    with pytest.raises(ValueError, match="'3d_fullres' has no entry 'spacing'"):
        read_nnunet_plans(path, TASK)


@pytest.mark.real
def test_the_plans_of_a_trained_model_are_read(reference_model):
    task = task_of(json.loads((reference_model / "dataset.json").read_text()), reference_model)
    plans = read_nnunet_plans(reference_model / "plans.json", task)
    assert list(plans) == ["2d", "3d_fullres", "3d_cpu"]
    small = plans["3d_cpu"]
    assert (small.patch, small.batch_size, small.widths) == ((40, 56, 40), 2, (16, 32, 64, 128))
    assert (small.spacing, small.normalisation) == ((1.0, 1.0, 1.0), (ZScore(masked=False),))
    assert (plans["2d"].patch, plans["2d"].batch_size) == ((1, 56, 40), 281)
    assert plans["3d_fullres"].batch_size == 7
