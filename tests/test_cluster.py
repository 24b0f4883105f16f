"""Cases worked on by other processes: the same bytes, lost work done again, faults named."""

import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster_work import die, die_once, double, refuse
from tiny_models import TASK, network, plan

import ingradient_pl as ip
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.inference import checkpoint
from ingradient_pl.messages import UsageError
from ingradient_pl.workers import cluster as clusters
from ingradient_pl.workers.cluster import ClusterError, open_workers
from ingradient_pl.workers.threads import Threads

distributed = pytest.importorskip("distributed")
submitit = pytest.importorskip("submitit")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scheduler():
    """A dask cluster of two processes, as somebody started it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
    with cluster:
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)  # 15 for disks of other machines


@pytest.fixture(params=["dask", "local"])
def cluster(request):
    """How --cluster names it."""
    return request.getfixturevalue("scheduler") if request.param == "dask" else "local"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A data set, a model, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("a [b] c")
    raw = write_phantoms(folder / "raw", 5, (12, 14, 10), (2.0, 1.0, 1.0))
    (raw / "imagesTr" / "case_009_0000.nii.gz").write_bytes(b"damaged")
    checkpoint.write(folder / "model.ckpt", network(), plan(), TASK)
    work(folder, folder / "alone")
    return folder


def work(folder, output, *, score=True, **cluster):
    """Run the commands; give what the prediction found."""
    made = ip.predict(
        folder / "model.ckpt", folder / "raw" / "imagesTr", output / "segmented", device="cpu", **cluster
    )
    if score:
        ip.prepare(folder / "raw", output / "store", progress=False, **cluster)
        scores = ip.evaluate(
            output / "segmented", folder / "raw" / "labelsTr", output / "scores.json", **cluster
        )
        assert len(scores.cases) == 5
    return made


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(f"{folder}/".encode(), b"")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_cluster_leaves_the_bytes_of_one_process(scheduler, alone, tmp_path, capsys):
    made = work(alone, tmp_path, cluster=scheduler)
    assert bytes_of(tmp_path) == bytes_of(alone / "alone")
    assert [failure.case for failure in made.failures] == ["case_009"]
    assert "case_009" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json", "segmented", "store"]


def test_jobs_leave_the_bytes_of_one_process(alone, tmp_path):
    made = work(alone, tmp_path, score=False, cluster="local", cluster_options={"timeout_min": 5, "jobs": 1})
    assert bytes_of(tmp_path / "segmented") == bytes_of(alone / "alone" / "segmented")
    assert [failure.case for failure in made.failures] == ["case_009"]
    assert [path.name for path in tmp_path.iterdir()] == ["segmented"]


def test_what_a_lost_worker_had_in_hand_is_done_again(cluster, tmp_path):
    options = {"jobs": 2} if cluster == "local" else None
    with open_workers(cluster, options, folder=tmp_path / "jobs") as workers:
        assert dict(workers.map(partial(die_once, str(tmp_path)), range(4))) == {n: n for n in range(4)}
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("kind", ["threads", "dask"])
def test_what_a_function_raises_is_raised(kind, scheduler, tmp_path):
    with open_workers(scheduler, folder=tmp_path) as others:
        workers = Threads(2) if kind == "threads" else others
        assert dict(workers.map(double, [3, 1, 2])) == {0: 6, 1: 2, 2: 4}
        assert dict(workers.map(double, [])) == {}
        with pytest.raises(ValueError, match="nothing is to be had of 7"):
            list(workers.map(refuse, [7, 7]))


def test_a_job_hands_back_what_a_function_raises():
    first, *rest = clusters._Share(lambda item: 1 / item, [1, 0, 2])()
    assert first == 1
    assert {type(one) for one in rest} == {ZeroDivisionError}
    with open_workers("local", folder=Path("never made")) as workers:
        assert dict(workers.map(double, [])) == {}


def test_a_job_that_is_preempted_goes_on_with_the_item_it_was_at():
    share = clusters._Share(double, [1, 2, 3], found=[2])
    again = share.checkpoint().function
    assert again() == [2, 4, 6]
    lost = submitit.core.utils.UncompletedJobError("its time is over")
    share = clusters._Share(lambda item: 2 / item if item else throw(lost), [2, 0])
    with pytest.raises(type(lost), match="its time is over"):
        share()
    assert share.found == [1]


def throw(error):
    raise error


def test_work_that_kills_every_worker_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "ATTEMPTS", 1)
    said = r"2 of 2 cases were in jobs that did not end, 1 times over"
    with (
        pytest.raises(ClusterError, match=said),
        open_workers("local", {"jobs": 1}, folder=tmp_path / "jobs") as workers,
    ):
        list(workers.map(die, [1, 2]))
    assert any((tmp_path / "jobs").iterdir()), "the logs are gone"


@pytest.mark.parametrize(
    ("address", "options", "said"),
    [
        ("tcp://127.0.0.1:9", None, "No dask scheduler answers at tcp://127.0.0.1:9"),
        ("nowhere.json", None, "There is no scheduler file nowhere.json"),
        *(
            (odd, None, "address of a dask scheduler")
            for odd in ("a b:1", "/etc/passwd", "tcp://host", "x?y:1")
        ),
        ("tcp://127.0.0.1:9", {"jobs": 2}, "jobs are for jobs"),
        ("local", {"jobs": 0}, "jobs must be a whole number, at least 1; got 0"),
        ("local", {"timeout": 3}, "submitit cannot start jobs of local"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_named(address, options, said, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 1)
    with pytest.raises(ClusterError, match=said), open_workers(address, options, folder=tmp_path):
        pass


def test_workers_of_another_version_are_refused(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "__version__", "9.9.9")
    said = r"workers run another version.*here 9\.9\.9"
    with pytest.raises(ClusterError, match=said), open_workers(scheduler, folder=tmp_path):
        pass


def test_scores_alone_want_an_output(scheduler, alone):
    with pytest.raises(UsageError, match="--cluster is for segmentations that are written"):
        ip.predict(alone / "model.ckpt", alone / "raw", cluster=scheduler)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    for package in ("distributed", "submitit"):
        monkeypatch.setitem(sys.modules, package, None)
    said = r"pip install 'ingradient_pl\[cluster\]'"
    for cluster in ("local", "tcp://127.0.0.1:9"):
        with pytest.raises(ImportError, match=said), open_workers(cluster, folder=tmp_path):
            pass


def _promise_too_much():
    raise MemoryError("Unable to allocate 3.07 EiB")


@pytest.mark.parametrize(
    ("connect", "told"),
    [
        (lambda: threading.Event().wait(), "does not answer as a dask scheduler"),
        (_promise_too_much, "No dask scheduler answers"),
    ],
    ids=["says nothing", "says something else"],
)
def test_whatever_listens_at_an_address_is_no_scheduler_until_it_says_so(
    monkeypatch, tmp_path, connect, told
):
    monkeypatch.setattr(clusters, "_package", lambda _: SimpleNamespace(Client=lambda **_: connect()))
    monkeypatch.setattr(clusters, "PATIENCE", 0.05)
    with pytest.raises(ClusterError, match=told), open_workers("tcp://x:1", folder=tmp_path):
        pass
