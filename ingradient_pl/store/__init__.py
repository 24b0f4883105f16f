"""The case store: every case once on disk, at its native grid and data type, read box by box."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.store.build import build_store as build_store
    from ingradient_pl.store.case_store import CaseStore as CaseStore
    from ingradient_pl.store.case_volumes import CaseVolumes as CaseVolumes
    from ingradient_pl.store.case_volumes import write_volume as write_volume
    from ingradient_pl.store.metadata import StoreError as StoreError
    from ingradient_pl.store.metadata import is_store as is_store
    from ingradient_pl.store.records import StoredCase as StoredCase
    from ingradient_pl.store.records import Voxels as Voxels
    from ingradient_pl.store.store_union import open_stores as open_stores
    from ingradient_pl.store.summary import Summary as Summary

__all__, __getattr__, __dir__ = attach(__name__)
