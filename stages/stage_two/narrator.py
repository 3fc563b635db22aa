"""What the trainer announces -> lines and a progress bar for the reader of the terminal."""

from types import TracebackType

from rich.progress import Progress, TaskID

from ...pipeline.training.events import (
    EpochBegun,
    EpochEnded,
    Evaluating,
    Event,
    Finished,
    Resumed,
    Saved,
    Step,
    StoppedEarly,
)
from ..console import Rate, progress_bar, say


class Narrator:
    """Told of each event of one training; its progress bar ends with the context at the latest."""

    def __init__(self, against: str = "truth") -> None:
        """against: what validation is against, as in `Run.evaluated_by`."""
        self._against = {"truth": "", "observed": " against observed labels"}.get(against, f" against {against}")
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> "Narrator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_bar()

    def __call__(self, event: Event) -> None:
        match event:
            case Resumed(epoch, step, trained):
                where = f"in epoch {epoch} after step {step}" if step else f"with epoch {epoch}"
                say("every epoch is trained, the best weights are left to evaluate" if trained else f"resuming {where}")
            case EpochBegun(epoch, epochs, images, done):
                self._bar = progress_bar(Rate("images"))
                self._bar.start()
                self._task = self._bar.add_task(f"epoch {epoch}/{epochs}", total=images, completed=done)
            case Step(images) if self._bar is not None:
                self._bar.advance(self._task, images)
            case Evaluating():
                self._end_bar()
            case EpochEnded(epoch, loss, val_map, best):
                mark = ", the best so far" if best else ""
                say(f"epoch {epoch}: loss {loss:.4f}, validation mAP {100 * val_map:.2f}{self._against}{mark}")
            case StoppedEarly():
                say("stopped early: validation no longer improves")
            case Saved() | Finished() | Step():
                pass

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
