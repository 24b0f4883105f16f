"""What happens to store or workers under a running training: the run stops and says why, or goes on."""

import errno
import logging
import os
import re
import shutil
import signal
from pathlib import Path

import preloaded
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from runs import outcome

from ingradient_pl.cli.failures import plain_errors
from ingradient_pl.cli.run_settings import differences
from ingradient_pl.cli.sweep_table import SCORE, keep_score
from ingradient_pl.lightning.run_files import CONFIG, read_reason


@pytest.fixture
def store(phantom_store, tmp_path):
    """A store that may be harmed."""
    return shutil.copytree(phantom_store, tmp_path / "store")


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


class Harm(pl.Callback):
    """Do something to every case, or to a worker (of training or validation), after the first step."""

    def __init__(self, kind, store):
        self.kind, self.store = kind, store

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx == 0 and trainer.current_epoch == 0:
            if self.kind == "training":
                kill(trainer.train_dataloader)
            elif self.kind != "validation":
                for folder in list(os.scandir(f"{self.store}/cases")):
                    harm(self.kind, folder.path)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 0 and self.kind == "validation" and not trainer.sanity_checking:
            kill(trainer.val_dataloaders)


def kill(loader):
    os.kill(loader._iterator._workers[0].pid, signal.SIGKILL)


def harm(kind, folder):
    image = f"{folder}/image.b2nd"
    if kind == "deleted":
        shutil.rmtree(folder)
    elif kind == "truncated":
        os.truncate(image, Path(image).stat().st_size // 2)
    else:
        with Path(image).open("r+b") as file:
            content = bytearray(file.read())
            for at in range(200, len(content) - 200, 50):
                content[at] ^= 4
            file.seek(0)
            file.write(content)


def run(monkeypatch, capsys, tmp_path, quick, store, *more):
    monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers of earlier runs have lost their streams
    return outcome(monkeypatch, capsys, "train", *arguments(tmp_path, quick, store), *more)


def arguments(tmp_path, quick, store):
    kept = [entry for entry in quick if not entry.startswith(("store=", "batches_per_epoch", "epochs"))]
    line = [*kept, f"store={store}", "batches_per_epoch=8", "epochs=1", "logger=none", "callbacks=none"]
    line += ["+trainer.enable_checkpointing=false", f"hydra.run.dir={tmp_path}/run"]
    return [*line, "hydra/job_logging=none", "hydra/hydra_logging=none"]


def told(err):
    """The line that the command ends with."""
    lines = [line for line in err.splitlines() if line.startswith("ingradient-train: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("kind", "reason", "file"),
    [
        ("deleted", "No such file", ""),
        ("truncated", "bytes instead of", "image.b2nd"),
        ("flipped", "damaged", "image.b2nd"),
    ],
)
def test_a_harmed_case_ends_the_run_with_its_name(
    monkeypatch, capsys, tmp_path, quick, store, kind, reason, file, workers
):
    callback = f"+callbacks.harm={{_target_: test_training_faults.Harm, kind: {kind}, store: {store}}}"
    code, _, err = run(monkeypatch, capsys, tmp_path, quick, store, callback, f"data.workers={workers}")
    line = told(err)
    assert code == 1
    assert reason in line
    assert f"{store}/cases/" in line
    assert file in line
    assert "Case 'phantom_0" in line
    assert "prepare the data set again" in line


@pytest.mark.slow
@pytest.mark.parametrize("when", ["training", "validation"])
def test_a_killed_worker_ends_the_run(tmp_path, quick, store, when):
    """In a process of its own: the signal arrives anywhere, in a test's own machinery as well."""
    callback = f"+callbacks.harm={{_target_: test_training_faults.Harm, kind: {when}, store: {store}}}"
    line = [*arguments(tmp_path, quick, store), callback, "data.workers=2"]
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = preloaded.run("ingradient_pl.cli.train", *line, env=environment)
    assert done.returncode == 1, done.stderr
    assert re.search("worker .* (is killed|exited unexpectedly)", told(done.stderr))
    assert "data.workers=1" in done.stderr


def tidy_up_after_a_lost_worker(signal="Killed"):
    try:
        raise RuntimeError(f"DataLoader worker (pid 19631) is killed by signal: {signal}. ")
    finally:
        raise RuntimeError("Please call `iter(combined_loader)` first.")


def test_a_lost_worker_is_told_of_whatever_fails_in_its_wake(capsys, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as left, plain_errors("ingradient-train"):
        tidy_up_after_a_lost_worker()
    assert left.value.code == 1
    assert "worker (pid 19631) is killed by signal: Killed" in told(capsys.readouterr().err)


def test_a_worker_that_was_told_to_stop_is_no_lack_of_memory(capsys, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as left, plain_errors("ingradient fit"):
        tidy_up_after_a_lost_worker("Terminated")
    assert left.value.code == 143
    assert capsys.readouterr().err == "ingradient fit: stopped before its end, as it was told to.\n"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 79.25 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: 12 TB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_names_the_keys_that_need_it(capsys, monkeypatch, error, tmp_path):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as left, plain_errors("ingradient-train"):
        raise error
    said = told(capsys.readouterr().err)
    assert left.value.code == 1
    keys = "plan.batch_size", "plan.patch", "data.resident=false", "trainer.precision", "--window_batch"
    assert all(key in said for key in keys), said
    job = JobReturn(overrides=[], status=JobStatus.FAILED)
    job.return_value = error
    (tmp_path / SCORE).parent.mkdir()
    keep_score(tmp_path, "val/dice", job)  # as of a run of a sweep, and of a fold
    assert said.endswith(read_reason(tmp_path))


def test_what_needs_less_memory_and_changes_no_result_may_be_other_when_a_fold_goes_on(tmp_path):
    before = {"data": {"workers": 4, "resident": True, "iterations": 2}, "trainer": {"precision": 32}}
    (tmp_path / CONFIG).parent.mkdir()
    OmegaConf.save(before, tmp_path / CONFIG)
    now = {"data": {"workers": 0, "resident": False, "iterations": 3}, "trainer": {"precision": 16}}
    assert differences(tmp_path, OmegaConf.create(now)) == ["data.iterations: 2 there, 3 here"]


@pytest.mark.parametrize(
    "said",
    [
        "unspecified launch failure",
        "uncorrectable ECC error encountered",
        "CUDA-capable device(s) is/are busy or unavailable",
        "the launch timed out and was terminated",
    ],
)
def test_a_device_that_is_lost_is_told_with_how_to_go_on(capsys, monkeypatch, said):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit), plain_errors("ingradient-train"):
        raise RuntimeError(f"CUDA error: {said}\nCompile with `TORCH_USE_CUDA_DSA` to enable assertions.")
    line = told(capsys.readouterr().err)
    assert said in line
    assert "resume=RUN" in line
    assert "Compile" not in line


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["train", "fit"])
def test_a_gpu_that_is_not_there_is_told_with_what_to_take(
    command, monkeypatch, capsys, tmp_path, quick, store
):
    if command == "train":
        code, _, err = run(monkeypatch, capsys, tmp_path, quick, store, "trainer=gpu")
    else:
        line = ["--data.store", store, "--trainer.accelerator=gpu", f"--trainer.default_root_dir={tmp_path}"]
        code, _, err = outcome(monkeypatch, capsys, "fit", *line)
    assert code == 1
    *_, said = err.splitlines()
    assert "Traceback" not in err
    assert all(part in said for part in ("trainer=auto", "cpu", "ingradient doctor")), said


@pytest.mark.slow
def test_a_store_on_a_read_only_disk_trains_and_is_not_touched(monkeypatch, capsys, tmp_path, quick, store):
    files = sorted(store.glob("**/*"), reverse=True)
    for file in files:
        file.chmod(0o500 if file.is_dir() else 0o400)
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in [store, *files]}
    code, _, err = run(monkeypatch, capsys, tmp_path, quick, store, "data.workers=1")
    assert code == 0, err
    assert {
        file: (file.stat().st_mtime_ns, file.stat().st_size) for file in [store, *store.glob("**/*")]
    } == before
    for file in files:
        file.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "sweep", "crossval", "cascade"])
@pytest.mark.parametrize("place", ["locked", "file"])
def test_a_folder_that_cannot_be_made_is_one_line_before_anything_is_trained(
    command, place, monkeypatch, capsys, tmp_path, quick
):
    folder = tmp_path / place / "run"
    (tmp_path / "file").write_text("a file")
    plain = os.mkdir

    def refuse(path, *rest, **options):  # whoever runs this may be allowed everything
        if "locked" in Path(path).parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain(path, *rest, **options)

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.chdir(tmp_path)
    own = {
        "train": [*quick, f"hydra.run.dir={folder}"],
        "sweep": ["-m", *quick, "seed=0,1", f"hydra.sweep.dir={folder}"],
        "crossval": [*quick, f"output={folder}"],
        "cascade": [entry for entry in quick if not entry.startswith("plan=")]
        + ["coarser=2", "folds=2", f"output={folder}"],
    }
    code, _, err = outcome(monkeypatch, capsys, command.replace("sweep", "train"), *own[command])
    assert code == 1
    assert place in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
