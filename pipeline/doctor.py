"""python -m pipeline.doctor: whether this machine is ready for the trainings that params.yaml plans.

Some steps of one planned network, on real batches where a dataset is prepared and on noise where none is: eager
against compiled, bfloat16 against float32, with deterministic kernels and free ones, going on from a checkpoint, and
the share of time that waits for data. The last line says `ready`, or what to change; the exit status is then 1.
"""

import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline import engines

engines.pin_arrays()

from pipeline import params  # noqa: E402

try:
    engines.pin_torch(params.load().train.deterministic)
except (ValueError, OSError):
    # Examining will say so.
    engines.pin_torch(deterministic=True)

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from pipeline import paths, runs  # noqa: E402
from pipeline.datasets import DATASETS, sources  # noqa: E402
from pipeline.params import Params  # noqa: E402
from pipeline.people import People  # noqa: E402
from pipeline.ranks import Ranks, choose_algorithms  # noqa: E402
from pipeline.training import outlook, trial  # noqa: E402
from pipeline.training.loaders import Loaders  # noqa: E402
from pipeline.training.schedule import Schedule  # noqa: E402
from pipeline.training.step import Execution, Step  # noqa: E402

STEPS = 4
LR = 1e-5
"""Small, so that a difference of rounding stays one: each step of a larger rate multiplies it."""
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}
"""Of the losses of the first steps, relative; bfloat16 has three digits."""
WAITING = 0.05
"""Share of a GPU's time that may go by waiting for data."""

Batch = Mapping[str, Tensor]


def planned(p: Params, prepared: Mapping[str, int]) -> runs.Run:
    """The training to examine: guided before unguided, and of a dataset that is prepared where there is one."""
    trained = [run for run in runs.named_by(p) if run.checkpoint is None]
    if not trained:
        raise ValueError("params.yaml plans no training")
    return max(trained, key=lambda run: (run.dataset in prepared, run.guided))


def examine(p: Params) -> Iterator[str]:
    """Print what is found, line by line; yields what to change. Raises ValueError where nothing can train."""
    prepared = outlook.prepared(p)
    run = planned(p, prepared)
    settings = runs.Settings.of(p, guided=run.radius is not None, input_size=run.input)
    device = trial.device_of(p.compute.device, run.model)
    loaders, schedule = _loaders(p, run, settings, device) if run.dataset in prepared else (None, None)
    ranks = Ranks.join(device)
    print(f"run       {run.dataset}/{run.name}, one of those planned", flush=True)
    tried = trial.tried(run, settings, ranks)
    print(*outlook.lines(p, run, settings, ranks, tried, prepared), sep="\n", flush=True)
    asked = Execution.of(p.train, ranks)
    if tried.execution != asked:
        yield f"train.compile: true asks for a step {asked.compiled}, which fails here"
    if device == "cpu" and not trial.is_small(run.model):
        print("steps     none, a CPU would take minutes for each", flush=True)
        return

    batches = [trial.random_batch(p.train.batch_size, settings.input.size, _joints(run), device == "cuda")]
    if loaders and schedule:
        batches = list(itertools.islice(loaders.train(schedule), STEPS))
    batches = list(itertools.islice(itertools.cycle(batches), STEPS))
    # One compiled step serves as long as it can: on a GPU each takes a minute or two to compile.
    step, half = _step(run, settings, ranks, tried.execution), len(batches) // 2
    its = _train(step, batches[:half])
    stopped = {name: value.cpu().clone() for name, value in step.state_dict().items()}
    its += _train(step, batches[half:], half)
    chosen = FirstSteps(its, trial.images_per_second(step, batches[0], ranks.device))
    if loaders and schedule:
        yield from _wait(step, ranks, chosen.images_per_second, loaders.train(schedule))
    del step
    yield from _resume(run, settings, ranks, tried.execution, batches[half:], stopped, chosen.losses[half:])
    yield from _compare(run, settings, ranks, tried.execution, batches, chosen)
    if not loaders:
        print(f"data      none yet, so steps are on noise: `dvc repro prepare@{run.dataset}`", flush=True)


@dataclass(frozen=True)
class FirstSteps:
    """The losses (Eq. 7) of a fresh network's first steps, and the rate of those after them."""

    losses: list[float]
    images_per_second: float


def _compare(
    run: runs.Run,
    settings: runs.Settings,
    ranks: Ranks,
    execution: Execution,
    batches: Sequence[Batch],
    chosen: FirstSteps,
) -> Iterator[str]:
    """The first steps in other ways than the chosen one: their losses must be the same but for rounding.

    The precisions are compared eager: what compiling does to a loss, the comparison with eager steps tells.
    """
    eager = replace(execution, compiled="eager")
    ways = {
        "eager": eager,
        "float32" if eager.bfloat16 else "bfloat16": replace(eager, bfloat16=not eager.bfloat16),
        "free" if execution.deterministic else "deterministic": replace(
            execution, deterministic=not execution.deterministic
        ),
    }
    done = {execution: chosen}
    for name, way in ways.items():
        if way in done:
            continue
        peer = eager if way.bfloat16 != execution.bfloat16 else execution
        try:
            trial.check_precision(
                settings_train(settings).model_copy(
                    update={"precision": "bfloat16" if way.bfloat16 else "float32"}
                ),
                ranks.device,
            )
            its = done[way] = first_steps(run, settings, ranks, way, batches)
        except Exception as error:
            # It is not what the trainings will do.
            print(f"{name:<9} fails here ({trial.short(error)})", flush=True)
            continue
        if peer not in done:
            continue
        apart = largest_difference(done[peer].losses, its.losses)
        allowed = TOLERANCE["bfloat16" if way.bfloat16 or peer.bfloat16 else "float32"]
        print(
            f"{name:<9} {its.images_per_second / done[peer].images_per_second:.2f} of the rate; losses of "
            f"{len(batches)} steps within {apart:.1e} of {'the chosen way' if peer == execution else 'eager'}'s "
            f"({allowed:g} allowed)",
            flush=True,
        )
        if not apart <= allowed:
            yield f"losses differ by {apart:.1e} with {name}: train with train.compile: false and float32, and tell us"


def _resume(
    run: runs.Run,
    settings: runs.Settings,
    ranks: Ranks,
    execution: Execution,
    batches: Sequence[Batch],
    stopped: Mapping[str, Tensor],
    expected: list[float],
) -> Iterator[str]:
    """Go on from what a step was after half of the steps, in another network."""
    again = _step(run, settings, ranks, execution)
    again.load_state_dict(stopped)
    apart = largest_difference(expected, _train(again, batches, len(expected)))
    allowed = 0.0 if execution.deterministic else TOLERANCE["bfloat16" if execution.bfloat16 else "float32"]
    print(f"resuming  losses within {apart:.1e} of those without a stop ({allowed:g} allowed)", flush=True)
    if not apart <= allowed:
        yield "a training that was stopped would not go on as if it never was: train with train.compile: false"


def _wait(step: Step, ranks: Ranks, images_per_second: float, batches: Iterable[Batch]) -> Iterator[str]:
    """The share of time that steps on loaded batches take longer than on batches that are there."""
    count, seen = 0, 0
    for number, batch in enumerate(itertools.islice(batches, 30)):
        step(batch, number, LR)
        if number < trial.WARM_UP:
            trial.wait(ranks.device)
            began = time.perf_counter()
        else:
            count, seen = count + 1, seen + len(batch["input"])
    if not count:
        return
    trial.wait(ranks.device)
    rate = seen / (time.perf_counter() - began)
    share = max(0.0, 1 - rate / images_per_second)
    print(f"waiting   {share:.0%} of the time for data: {rate:.0f} images/s with them", flush=True)
    if ranks.device.type == "cuda" and share > WAITING:
        yield f"the GPU waits {share:.0%} of the time for data: more compute.workers, or input.reduced_decoding: true"


def first_steps(
    run: runs.Run, settings: runs.Settings, ranks: Ranks, execution: Execution, batches: Sequence[Batch]
) -> FirstSteps:
    """A fresh network's."""
    step = _step(run, settings, ranks, execution)
    losses = _train(step, batches)
    return FirstSteps(losses, trial.images_per_second(step, batches[0], ranks.device))


def largest_difference(a: list[float], b: list[float]) -> float:
    """Relative to the first ones."""
    return max(abs(x - y) / max(abs(x), 1e-12) for x, y in zip(a, b, strict=True))


def settings_train(settings: runs.Settings) -> params.Train:
    assert settings.training is not None
    return settings.training.train


def _step(run: runs.Run, settings: runs.Settings, ranks: Ranks, execution: Execution) -> Step:
    if execution.compiled != "eager":
        torch.compiler.reset()
    choose_algorithms(execution.deterministic, settings_train(settings).threads)
    step = Step(trial.fresh(run, settings), run, settings, ranks, 10**6, execution)
    step.network.train()
    return step


def _train(step: Step, batches: Sequence[Batch], first: int = 0) -> list[float]:
    return [float(step.total(step(batch, first + number, LR))) for number, batch in enumerate(batches)]


def _loaders(p: Params, run: runs.Run, settings: runs.Settings, device: str) -> tuple[Loaders, Schedule]:
    people = {split: People.load(paths.people(run.dataset) / f"{split}.npz") for split in ("train", "val")}
    if run.input and not DATASETS[run.dataset].SQUARE_CROPS:
        people = {split: table.cropped_for(run.input) for split, table in people.items()}
    images, seed = sources.open_images(run.dataset, p.data, paths.project_root()), run.seed or 0
    loaders = Loaders(
        people["train"], people["val"], images, settings, seed, p.compute.workers, pin=device == "cuda"
    )
    return loaders, Schedule(len(people["train"]), p.train.batch_size, p.train.epochs, seed)


def _joints(run: runs.Run) -> int:
    return DATASETS[run.dataset].KEYPOINTS.count


def main() -> None:
    try:
        changes = list(examine(params.load()))
    except (ValueError, OSError) as error:
        changes = [str(error)]
    print("ready" if not changes else f"not ready: {'; '.join(changes)}")
    sys.exit(bool(changes))


if __name__ == "__main__":
    main()
