"""What the trainer announces -> TensorBoard and W&B: scalars, the loss's schedules, pictures of every epoch."""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
from PIL import Image

from ...pipeline.errors import AevlpError, in_one_line, unknown_name
from ...pipeline.runtime.seeding import derive
from ...pipeline.training.events import Announce, EpochEnded, Event, Finished, Resumed
from ..console import say
from ..contact_sheet import Card, sheet
from .loss_schedules import loss_schedules
from .plan import Plan
from .settings import settings_of

PICTURES = 12  # validation images, the same in every epoch


class Log(Protocol):
    """A place for figures. epoch: by which they are ordered, one that is logged again replaces what it was."""

    def scalars(self, values: dict[str, float], epoch: int) -> None: ...
    def picture(self, name: str, picture: Image.Image, epoch: int) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files in the folder `tensorboard` of a run: `tensorboard --logdir runs` shows them."""

    def __init__(self, folder: Path, settings: dict[str, Any], first_epoch: int) -> None:
        """first_epoch: what an earlier start logged from there on is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_epoch if first_epoch > 1 else None)
        self._writer.add_text("settings", f"```\n{json.dumps(settings, indent=1, ensure_ascii=False)}\n```")

    def scalars(self, values: dict[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def picture(self, name: str, picture: Image.Image, epoch: int) -> None:
        self._writer.add_image(name, np.asarray(picture), epoch, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B, of which the id is kept in the run folder, so that a resumed training goes on in it.

    Offline, without a question, where nobody is logged in and WANDB_MODE does not say otherwise: `wandb sync` sends it later.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], first_epoch: int) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE")
        if mode is None and not _logged_in():
            mode = "offline"
            say(f"nobody is logged in to W&B: logging offline into {folder / 'wandb'}; wandb sync sends it later")
        kept = folder / "wandb-id.txt"
        name = kept.read_text(encoding="utf-8").strip() if kept.exists() else uuid4().hex
        kept.write_text(name, encoding="utf-8")
        self._wandb = wandb
        self._run = wandb.init(
            project="aevlp",
            id=name,
            name=folder.absolute().name,
            dir=str(folder),
            config=settings,
            resume="allow",
            mode=mode,  # type: ignore[arg-type]  # as the variable has it
            settings=wandb.Settings(silent=True),
        )

    def scalars(self, values: dict[str, float], epoch: int) -> None:
        self._run.log({**values, "epoch": epoch}, step=epoch)

    def picture(self, name: str, picture: Image.Image, epoch: int) -> None:
        self._run.log({name: self._wandb.Image(picture)}, step=epoch)

    def close(self) -> None:
        self._run.finish()


def _logged_in() -> bool:
    import wandb

    with suppress(Exception):  # of a key that is none
        return bool(wandb.login(prompt=False))
    return False


LOGS: dict[str, Callable[[Path, dict[str, Any], int], Log]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def require_logs(names: Sequence[str]) -> None:
    """Raise AevlpError for a log that there is not, and one whose package is not installed."""
    for name in names:
        if name not in LOGS:
            raise AevlpError(f"--log: {unknown_name('log', name, LOGS)}")
        if find_spec(name) is None:
            raise AevlpError(f"--log {name} needs the package {name}: pip install 'aevlp[{name}]'")


@contextmanager
def run_logs(plan: Plan, folder: Path, first: bool) -> Iterator["RunLogs"]:
    """Give the logs that a plan asks for, none in any process but the first, and close them at the end."""
    logs = RunLogs(plan, folder, plan.options.log or () if first else ())
    try:
        yield logs
    finally:
        logs.close()


def heard_by(*listeners: Announce) -> Announce:
    """Return what tells each of several listeners of every event."""

    def announce(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return announce


class RunLogs:
    """Told of each event of one training. A log that fails is said once and left: the training goes on."""

    def __init__(self, plan: Plan, folder: Path, names: Sequence[str]) -> None:
        self._plan, self._folder = plan, folder
        self._waiting = list(dict.fromkeys(names))  # opened with the first figures, when the run folder is there
        self._logs: dict[str, Log] = {}
        self._first_epoch = 1
        self._schedules: dict[str, list[float]] | None = None

    def __call__(self, event: Event) -> None:
        if not (self._waiting or self._logs):
            return
        match event:
            case Resumed(epoch):
                self._first_epoch = epoch
            case EpochEnded():
                self._open()
                values = self._values(event)
                self._each(lambda log: log.scalars(values, event.epoch))
                if self._logs:
                    self._pictures(event)
            case Finished(_, _, test_map) if test_map is not None:
                self._open()
                last = {"test/map": test_map}
                self._each(lambda log: log.scalars(last, self._plan.recipe["epochs"]))

    def close(self) -> None:
        """End what was begun."""
        self._each(lambda log: log.close())
        self._logs.clear()

    def _open(self) -> None:
        settings = settings_of(self._plan) if self._waiting else {}
        for name in self._waiting:
            with self._left_where_it_fails(name):
                self._logs[name] = LOGS[name](self._folder, settings, self._first_epoch)
        self._waiting = []

    def _values(self, event: EpochEnded) -> dict[str, float]:
        values = {
            "train/loss": event.loss,
            "val/map": event.val_map,
            "time/seconds": event.seconds,
            "time/waiting": event.waiting,
        }
        if self._schedules is None:
            plan = self._plan
            try:
                found = loss_schedules(plan.loss_name, len(plan.cache.classes), plan.constants, plan.recipe["epochs"])
            except AevlpError:  # of a loss that needs more than constants
                found = {}
            self._schedules = found
        values |= {f"schedule/{name}": of[event.epoch - 1] for name, of in self._schedules.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _pictures(self, event: EpochEnded) -> None:
        try:
            grid = picture_grid(self._plan, event.logits)
        except (AevlpError, OSError):  # images that are not there any more, as of a linear classifier
            return
        self._each(lambda log: log.picture("val/pictures", grid, event.epoch))

    def _each(self, tell: Callable[[Log], None]) -> None:
        for name in list(self._logs):
            with self._left_where_it_fails(name):
                tell(self._logs[name])

    @contextmanager
    def _left_where_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a library or its network does, hours of training go on
            self._logs.pop(name, None)
            say(f"logging to {name} ends here, the training goes on: {in_one_line(error, 200)}")


def picture_grid(plan: Plan, logits: np.ndarray) -> Image.Image:
    """Return a sheet of a few validation images with what they are judged by and what is predicted; the same in every epoch.

    logits: (n, C) of the validation images. Raises AevlpError where an image cannot be read.
    """
    random = np.random.default_rng(derive(plan.options.seed, "logged pictures"))
    some = np.sort(random.permutation(len(plan.val.rows))[:PICTURES])
    classes = plan.cache.classes

    def named(mask: np.ndarray) -> list[str]:
        return [classes[c] for c in np.flatnonzero(mask)]

    cards = [
        Card(
            plan.root / str(plan.cache.paths[plan.val.rows[n]]),
            frozenset(named(plan.val.truth[n] == 1)),
            {"labels": named(plan.val.truth[n] == 1), "predicted": named(logits[n] >= 0)},
            complete=frozenset({"predicted"}),
        )
        for n in some.tolist()
    ]
    return sheet("Validation images: a probability of at least 0.5 is predicted", cards)
