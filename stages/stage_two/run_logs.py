"""What the trainer announces -> TensorBoard and W&B: scalars, the loss's schedules, pictures of every epoch."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
from PIL import Image

from ...pipeline.errors import AevlpError, in_one_line, unknown_name
from ...pipeline.files.atomic_write import replacing
from ...pipeline.runtime.seeding import derive
from ...pipeline.training.events import Announce, EpochEnded, Event, Finished, Resumed
from ...pipeline.training.run_folder import RunFolder
from ..console import say
from ..contact_sheet import Card, sheet
from .loss_schedules import loss_schedules
from .plan import Plan
from .settings import settings_of

PICTURES = 12  # validation images, the same in every epoch
# What a log calls the figures of an epoch, by their names in metrics.jsonl and in the event.
FIGURES = {
    "loss": "train/loss",
    "lr": "train/lr",
    "val_map": "val/map",
    "seconds": "time/seconds",
    "waiting": "time/waiting",
}


class Log(Protocol):
    """A place for figures. epoch: by which they are ordered, one that is logged again replaces what it was.

    new: whether nothing of the run was logged there before.
    """

    new: bool

    def scalars(self, values: dict[str, float], epoch: int) -> None: ...
    def picture(self, name: str, picture: Image.Image, epoch: int) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files in the folder `tensorboard` of a run: `tensorboard --logdir runs` shows them."""

    def __init__(self, folder: Path, settings: dict[str, Any], first_epoch: int) -> None:
        """first_epoch: what an earlier start logged from there on is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        place = folder / "tensorboard"
        self.new = not place.exists()
        self._writer = SummaryWriter(str(place), purge_step=first_epoch if first_epoch > 1 else None)
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

    Offline, without a question, where nobody is logged in or no server answers, and WANDB_MODE does not say otherwise.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], first_epoch: int) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE")
        if mode is None and not _logged_in():
            mode = "offline"
            say(
                f"nobody is logged in to W&B, or it does not answer: logging offline into {folder / 'wandb'}; wandb sync "
                f"sends it later"
            )
        kept = folder / "wandb-id.txt"
        self.new = not kept.exists()
        if self.new:
            with replacing(kept) as temporary:
                temporary.write_text(uuid4().hex, encoding="utf-8")
        name = kept.read_text(encoding="utf-8").strip()
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

    with suppress(Exception):  # of a key that is none, and of a server that does not answer
        return bool(wandb.login(prompt=False))
    return False


LOGS: dict[str, Callable[[Path, dict[str, Any], int], Log]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def require_logs(names: Sequence[str]) -> None:
    """Raise AevlpError for a log that there is not, one without its package, and W&B where it would ask for a login."""
    for name in names:
        if name not in LOGS:
            raise AevlpError(f"--log: {unknown_name('log', name, LOGS)}")
        if find_spec(name) is None:
            raise AevlpError(f"--log {name} needs the package {name}: pip install 'aevlp[{name}]'")
    if "wandb" in names and os.environ.get("WANDB_MODE") == "online" and not _logged_in():
        raise AevlpError(
            "--log wandb: WANDB_MODE is online, and nobody is logged in to W&B, or it does not answer: run wandb login, or set "
            "WANDB_MODE=offline"
        )


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
        self._last_epoch = 0
        self._pictured = True

    def __call__(self, event: Event) -> None:
        if not (self._waiting or self._logs):
            return
        match event:
            case Resumed(epoch):
                self._first_epoch, self._last_epoch = epoch, epoch - 1
            case EpochEnded():
                self._open()
                self._last_epoch = event.epoch
                values = self._values(event.epoch, vars(event))
                self._each(lambda log: log.scalars(values, event.epoch))
                if self._logs and self._pictured:
                    self._pictures(event)
            case Finished(_, _, test_map) if test_map is not None:
                self._open()
                self._each(lambda log: log.scalars({"test/map": test_map}, self._last_epoch))

    def close(self) -> None:
        """End what was begun."""
        self._each(lambda log: log.close())
        self._logs.clear()

    def _open(self) -> None:
        """Open what is not open yet; one that is new is told of the epochs before, which were trained without it."""
        settings = settings_of(self._plan) if self._waiting else {}
        for name in self._waiting:
            with self._left_where_it_fails(name):
                log = self._logs[name] = LOGS[name](self._folder, settings, self._first_epoch)
                for line in RunFolder(self._folder).metrics() if log.new else []:
                    if line.get("epoch", self._first_epoch) < self._first_epoch:
                        log.scalars(self._values(line["epoch"], line), line["epoch"])
        self._waiting = []

    def _values(self, epoch: int, measured: Mapping[str, Any]) -> dict[str, float]:
        """Return the figures of an epoch; measured: by the names in `FIGURES`."""
        values = {name: measured[key] for key, name in FIGURES.items() if key in measured}
        values |= {f"schedule/{name}": of[epoch - 1] for name, of in self._schedules.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    @cached_property
    def _schedules(self) -> dict[str, list[float]]:
        plan = self._plan
        try:
            return loss_schedules(plan.loss_name, len(plan.cache.classes), plan.constants, plan.recipe["epochs"])
        except AevlpError:  # of a loss that needs more than constants
            return {}

    def _pictures(self, event: EpochEnded) -> None:
        try:
            grid = picture_grid(self._plan, event.logits)
        except (AevlpError, OSError) as error:  # a linear classifier is trained without its images
            self._pictured = False
            say(f"no pictures are logged: {in_one_line(error, 200)}")
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
