"""Where cases are worked on: threads of this process, a dask cluster, or jobs of SLURM."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.workers.cluster import ClusterError as ClusterError
    from ingradient_pl.workers.cluster import open_workers as open_workers
    from ingradient_pl.workers.stopped import Stopped as Stopped
    from ingradient_pl.workers.threads import Threads as Threads
    from ingradient_pl.workers.threads import Workers as Workers

__all__, __getattr__, __dir__ = attach(__name__)
