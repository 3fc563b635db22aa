"""A cache, rows and a policy -> the labels of each epoch; those of the next one are made while an epoch is trained."""

import threading

import numpy as np

from ..losses.interface import Scheduled, Stateful, Watching
from ..policies import Known, Labels, Policy
from ..policies.labelling import label
from ..score_cache import ScoreCache


class EpochLabels:
    """The pseudo-labels of some rows, epoch by epoch, the same whether made ahead or not."""

    def __init__(self, cache: ScoreCache, rows: np.ndarray, policy: Policy, epochs: int, seed: int) -> None:
        """rows, seed: as for `label`. epochs: how many there are."""
        self._cache, self._rows, self._policy, self._epochs, self._seed = cache, rows, policy, epochs, seed
        self._ahead: _Ahead | None = None

    def of(self, epoch: int) -> Labels:
        """Return the labels of an epoch, and raise what went wrong while they were made."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return label(self._cache, self._rows, self._policy, epoch, self._seed)
        if ahead.epoch == epoch:
            return ahead.result()
        ahead.stop()
        return self.of(epoch)

    def make_ahead(self, epoch: int) -> None:
        """Begin with the labels of an epoch, unless it is beyond the last, or they depend on how the one before it ends.

        Call it when worker processes are started: one that is forked while another thread reads could wait for it forever.
        """
        later = isinstance(self._policy, Scheduled | Stateful | Watching)
        if self._ahead is None and epoch <= self._epochs and not later:
            self._ahead = _Ahead(self._cache, self._rows, self._policy, epoch, self._seed)

    def close(self) -> None:
        """End what is being made; nobody will ask for it."""
        if self._ahead is not None:
            self._ahead.stop()
            self._ahead = None


class _Stopped(Exception):
    pass


class _Ahead:
    """A thread that labels, which can be stopped between two blocks."""

    def __init__(self, cache: ScoreCache, rows: np.ndarray, policy: Policy, epoch: int, seed: int) -> None:
        self.epoch, self.reads, self._policy = epoch, policy.reads, policy
        self._stopped = threading.Event()
        self._made: Labels | BaseException = _Stopped()
        self._thread = threading.Thread(target=self._make, args=(cache, rows, seed), daemon=True)
        self._thread.start()

    def result(self) -> Labels:
        self._thread.join()
        if isinstance(self._made, BaseException):
            raise self._made
        return self._made

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def scores(self, similarity: np.ndarray, observed: np.ndarray, **more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the policy's scores: to `label`, this is the policy."""
        self._go_on()
        return self._policy.scores(similarity, observed, **more)

    def __call__(self, known: Known) -> Labels:
        self._go_on()
        return self._policy(known)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise _Stopped

    def _make(self, cache: ScoreCache, rows: np.ndarray, seed: int) -> None:
        try:
            self._made = label(cache, rows, self, self.epoch, seed)
        except BaseException as error:  # raised where the labels are asked for
            self._made = error
