"""``ingradient prepare``: any known layout -> a case store."""

from pathlib import Path

from ingradient_pl.commands.cluster import choose_workers
from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.datasets.groups import PATTERN
from ingradient_pl.datasets.sources import Source, read_source
from ingradient_pl.files import check_can_be_folder
from ingradient_pl.messages import check_range, say, say_failure
from ingradient_pl.phrases import say_count
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.summary import Summary

MOST_WORKERS = 1024


def prepare(  # noqa: PLR0913 - one argument an option
    source: AnyPath,
    store: AnyPath,
    group_pattern: str = PATTERN,
    workers: int | None = None,
    orientation: str = "LPS",
    progress: bool = True,  # noqa: FBT001 - a switch of the command line
    image_formats: list[str] | None = None,
    cluster: str | None = None,
    cluster_options: dict[str, str | int] | None = None,
) -> CaseStore:
    """Bring every case of a data set into a store, once: native grid and type, cropped to what is not zero.

    A run that was killed goes on where it stopped; cases whose files did not change are left alone.
    Cases that cannot be used are listed together, and the others are stored.

    Args:
        source: Folder of nnU-Net's raw layout, of the Medical Decathlon's, of npz + pkl pairs, of DICOM
            series with their segmentations; or a table (.csv, .json) with the columns case, image_0, image_1,
            ..., label, group, split.
        store: Folder to write; made if it does not exist.
        group_pattern: Regular expression that finds a patient's name in a case's name, in its first group.
            Cases of one patient never train and validate in one fold.
        workers: Cases prepared at a time; if not given as many as there are cores, at most one for each 4 GiB
            of memory.
        orientation: Directions that x, y, z of every case point to; 'stored' leaves axes as in the files.
        progress: Whether to show a progress bar.
        image_formats: Further file formats by dotted name, such as [my_package.NPY]: an ImageFormat each.
        cluster: Where cases are prepared: the address of a dask scheduler (tcp://host:8786) or its file, or
            slurm for jobs by submitit (local: the same on this machine). This machine does it if not given.
        cluster_options: Of submitit's jobs, such as {timeout_min: 60, cpus_per_task: 2, jobs: 8}.

    Returns:
        The store. Cases that could not be prepared are said, and are not in it.

    Raises:
        UsageError: If there are no workers.
        NotADirectoryError: If a file stands where the store shall be.
        SourceError: If the source is not a data set that can be read.
        StoreError: If the folder holds another data set, or the disk is full.
        ClusterError: If there is no such cluster, or it lost the same cases too often.
    """
    add_image_formats(image_formats)
    check_range("workers", workers, 1, MOST_WORKERS)
    check_can_be_folder(Path(store), "cases")
    with choose_workers(cluster, cluster_options, image_formats, beside=Path(store)) as pool:
        path = Path(source) if pool is None else Path(source).resolve()
        found = read_source(path, group_pattern)
        folder = Path(store) if pool is None else Path(store).resolve()
        _tell(build_store(found, folder, workers, progress, orientation, pool), store)
    return CaseStore(Path(store))


def prepare_source(source: Source, store: Path) -> None:
    """Bring the cases of a data set that was read into a store, as :func:`prepare` does by itself.

    Args:
        source: The data set.
        store: Folder to write.

    Raises:
        SourceError: If the labels cannot mean what they say.
        StoreError: If the folder holds another data set, or the disk is full.
    """
    _tell(build_store(source, store, progress=False), store)


def _tell(summary: Summary, store: AnyPath) -> None:
    """Say what is in the store, and, as a failure, which cases are missing and why."""
    say(summary.describe_cases())
    if summary.faults:
        head = f"{say_count(len(summary.faults), 'case')} could not be prepared for {store}:"
        say_failure("\n  ".join([head, *map(str, summary.faults)]))
