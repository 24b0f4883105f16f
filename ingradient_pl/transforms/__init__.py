"""Everything done to voxels on the device: normalise, resample, augment intensities."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.transforms.augment import Augment as Augment
    from ingradient_pl.transforms.augment import BatchTransform as BatchTransform
    from ingradient_pl.transforms.channel_intensity import ChannelIntensity as ChannelIntensity
    from ingradient_pl.transforms.gaussian_noise import GaussianNoise as GaussianNoise
    from ingradient_pl.transforms.intensity import BodyMask as BodyMask
    from ingradient_pl.transforms.intensity import Brightness as Brightness
    from ingradient_pl.transforms.intensity import Contrast as Contrast
    from ingradient_pl.transforms.intensity import Gamma as Gamma
    from ingradient_pl.transforms.intensity import GaussianBlur as GaussianBlur
    from ingradient_pl.transforms.intensity import LowResolution as LowResolution
    from ingradient_pl.transforms.intensity_base import Intensity as Intensity
    from ingradient_pl.transforms.intensity_da5 import AdditiveBrightness as AdditiveBrightness
    from ingradient_pl.transforms.intensity_da5 import BlankRectangles as BlankRectangles
    from ingradient_pl.transforms.intensity_da5 import BrightnessGradient as BrightnessGradient
    from ingradient_pl.transforms.intensity_da5 import LocalGamma as LocalGamma
    from ingradient_pl.transforms.intensity_da5 import Sharpening as Sharpening
    from ingradient_pl.transforms.normalise import CT as CT
    from ingradient_pl.transforms.normalise import RGB01 as RGB01
    from ingradient_pl.transforms.normalise import MinMax01 as MinMax01
    from ingradient_pl.transforms.normalise import NoNormalisation as NoNormalisation
    from ingradient_pl.transforms.normalise import Normaliser as Normaliser
    from ingradient_pl.transforms.normalise import PercentileZScore as PercentileZScore
    from ingradient_pl.transforms.normalise import ZScore as ZScore
    from ingradient_pl.transforms.one_of import OneOf as OneOf
    from ingradient_pl.transforms.patch import Batch as Batch
    from ingradient_pl.transforms.patch import Patch as Patch
    from ingradient_pl.transforms.patch_sampling import PatchSampling as PatchSampling
    from ingradient_pl.transforms.prepare_batch import Prepare as Prepare

__all__, __getattr__, __dir__ = attach(__name__)
