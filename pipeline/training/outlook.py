"""What a training has to expect of this machine, in the lines that it begins with; the doctor's first ones too."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import torch

from pipeline import loader, models, paths, runs
from pipeline.datasets import DATASETS
from pipeline.models.complexity import count
from pipeline.params import Params
from pipeline.people import People
from pipeline.ranks import Ranks
from pipeline.training.trial import Trial


def lines(
    p: Params, run: runs.Run, settings: runs.Settings, ranks: Ranks, trial: Trial, people: Mapping[str, int]
) -> Iterator[str]:
    """Device, step, loading, disk, and what to expect. people: to train on, for each dataset whose tables are there."""
    assert settings.training is not None
    train, execution = settings.training.train, trial.execution
    yield f"device    {device(ranks)}"
    peak = f"; {trial.peak_bytes / 2**30:.1f} GiB at most" if trial.peak_bytes else ""
    batch = f"batches of {train.batch_size}" + (f" on {ranks.ranks} ranks" if ranks.ranks > 1 else "")
    kind = "deterministic" if execution.deterministic else "not deterministic"
    yield f"step      {train.precision}, {execution.compiled}, {kind}, {batch}{peak}"
    if execution.deterministic and execution.compiled != "eager":
        yield (
            "          deterministic, so the compiler takes kernels by rule and not by timing them; `make doctor` "
            "measures what that costs"
        )
    yield f"loading   {loading(settings, p.compute.workers, ranks)}"
    yield f"disk      {shutil.disk_usage(paths.project_root()).free / 1e9:.1f} GB free"
    if trial.images_per_second is not None and run.dataset in people:
        seconds = {each: time for each, time in _seconds(p, run, trial.images_per_second, people)}
        missing = {each.dataset for each in _trained(p)} - people.keys()
        yield (
            f"expected  about {trial.images_per_second:.0f} images/s if data come as fast; "
            f"this run {duration(seconds[run])}, all {len(seconds)} planned ones {duration(sum(seconds.values()))}"
            + (f", without {', '.join(sorted(missing))}, not prepared yet" if missing else "")
        )


def device(ranks: Ranks) -> str:
    """The processor or GPU, its driver, and its memory."""
    if ranks.device.type == "cpu":
        return (
            f"{processor()}, {torch.get_num_threads()} threads, {memory()}"
            f"{torch.backends.cpu.get_cpu_capability()}"
        )
    free, total = torch.cuda.mem_get_info(ranks.device)
    major, minor = torch.cuda.get_device_capability(ranks.device)
    return (
        f"{torch.cuda.get_device_name(ranks.device)}, capability {major}.{minor}, {total / 2**30:.1f} GiB "
        f"({free / 2**30:.1f} free), driver {driver()}, CUDA {torch.version.cuda}, torch {torch.__version__}"
    )


def processor() -> str:
    """The CPU's name."""
    text = _read(Path("/proc/cpuinfo"))
    found = re.search(r"model name\s*: (.+)", text)
    return found[1] if found else "CPU"


def memory() -> str:
    """The machine's memory, and what of it is free; nothing where the system does not tell."""
    told = dict(re.findall(r"(\w+):\s+(\d+) kB", _read(Path("/proc/meminfo"))))
    if not {"MemTotal", "MemAvailable"} <= told.keys():
        return ""
    total, free = (int(told[key]) / 2**20 for key in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB of memory ({free:.1f} free), "


def driver() -> str:
    """The version of NVIDIA's driver."""
    found = re.search(r"Kernel Module.*?\s(\d[\d.]+)", _read(Path("/proc/driver/nvidia/version")))
    return found[1] if found else "unknown"


def loading(settings: runs.Settings, workers: int, ranks: Ranks) -> str:
    """Processes that load, what they have ready, and shared memory; names the flag where that is small."""
    if not workers:
        return "no processes of its own (compute.workers: 0)"
    assert settings.training is not None
    people = settings.training.train.batch_size // ranks.ranks
    ready = loader.prefetched(settings.input.size, people, workers, loaders=2)
    text = f"{workers} processes, {ready} batches ready in each"
    free = loader.free_shared_memory()
    if free is not None:
        text += f"; {free / 2**30:.2f} GiB of shared memory free"
    if ready < loader.PREFETCH:
        text += f", too little for {loader.PREFETCH}: docker run --shm-size gives more"
    return text


def duration(seconds: float) -> str:
    """A time in two units, as 3 h 20 min."""
    whole = timedelta(seconds=round(seconds))
    hours, minutes = divmod(whole.seconds // 60, 60)
    units = [(whole.days, "d"), (hours, "h"), (minutes, "min"), (whole.seconds % 60, "s")]
    first = next((number for number, (value, _) in enumerate(units) if value), len(units) - 1)
    return " ".join(f"{value} {unit}" for value, unit in units[first : first + 2] if value) or "0 s"


def prepared(p: Params) -> dict[str, int]:
    """How many people there are to train on, for each dataset that is prepared."""
    files = {dataset: paths.people(dataset) / "train.npz" for dataset in p.datasets}
    return {dataset: len(People.load(file)) for dataset, file in files.items() if file.is_file()}


def _trained(p: Params) -> list[runs.Run]:
    return [run for run in runs.named_by(p) if run.checkpoint is None]


def _seconds(
    p: Params, measured: runs.Run, rate: float, people: Mapping[str, int]
) -> Iterator[tuple[runs.Run, float]]:
    """Each planned run whose people are known, and how long it takes: by images a second of one run, which fall as
    multiplications grow."""
    costs: dict[tuple[object, ...], float] = {}

    def cost(run: runs.Run) -> float:
        key = run.dataset, run.model, run.ablation, run.input, run.guided
        if key not in costs:
            settings = runs.Settings.of(p, guided=run.radius is not None, input_size=run.input)
            guidance = settings.guided.guidance if settings.guided else None
            keypoints = DATASETS[run.dataset].KEYPOINTS
            net = models.skeleton(
                run.model, keypoints, model=p.model, guidance=guidance, ablation=run.ablation
            )
            costs[key] = count(net, settings.input.size).gmacs
        return costs[key]

    for run in _trained(p):
        if run.dataset in people:
            yield run, p.train.epochs * people[run.dataset] / rate * cost(run) / cost(measured)


def _read(path: Path) -> str:
    return path.read_text() if os.access(path, os.R_OK) else ""
