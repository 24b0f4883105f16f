"""Which files of a folder or table are a case: layouts, tables, patients, folds, synthetic data."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.datasets.groups import GroupError as GroupError
    from ingradient_pl.datasets.groups import group_cases as group_cases
    from ingradient_pl.datasets.phantom_files import write_phantoms as write_phantoms
    from ingradient_pl.datasets.records import CaseFiles as CaseFiles
    from ingradient_pl.datasets.records import Fault as Fault
    from ingradient_pl.datasets.records import Source as Source
    from ingradient_pl.datasets.records import SourceError as SourceError
    from ingradient_pl.datasets.sources import images_only as images_only
    from ingradient_pl.datasets.sources import read_source as read_source
    from ingradient_pl.datasets.split_records import Split as Split
    from ingradient_pl.datasets.splits import Fold as Fold
    from ingradient_pl.datasets.splits import folds as folds

__all__, __getattr__, __dir__ = attach(__name__)
