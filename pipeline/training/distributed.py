"""The processes of one training, started by torchrun: who does which part, and what they tell each other.

Every process works on a share of the same global batch and sees the logits of all of it, so that losses, metrics and decisions
are those of one process. A process that is alone talks to nobody: each function then returns what it was given.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import AevlpError, in_one_line
from ..runtime.device import find_device
from ..runtime.ranks import Rank, this_rank
from .sync_batch_norm import share_statistics

PATIENCE = timedelta(hours=2)  # how long the others wait while one process saves, or fetches weights
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed", "recvValue failed")


class Processes:
    """This process and the others of its training. first: whether it is the one that writes files and speaks."""

    def __init__(self, rank: Rank) -> None:
        self.rank, self.first, self.alone = rank, rank.first, rank.of == 1

    def shares(self, n: int) -> list[slice]:
        """Return which of n things each process takes: contiguous, in order, as even as it can be, like np.array_split."""
        size, more = divmod(n, self.rank.of)
        starts = [r * size + min(r, more) for r in range(self.rank.of + 1)]
        return [slice(*ends) for ends in pairwise(starts)]

    def share(self, n: int) -> slice:
        """Return which of n things are this process's; none where there are fewer than processes before it."""
        return self.shares(n)[self.rank.number]

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether any process has it set."""
        if self.alone:
            return flags
        votes = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return tuple(map(bool, votes.tolist()))

    def each(self, own: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, which are of one shape and type."""
        if self.alone:
            return [own]
        all_of_them = [torch.empty_like(own) for _ in range(self.rank.of)]
        dist.all_gather(all_of_them, own.contiguous())
        return all_of_them

    def said_by_first(self, text: str) -> str:
        """Return the text that the first process passes."""
        if self.alone:
            return text
        said = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        length = torch.tensor(len(said))
        dist.broadcast(length, 0)
        if not self.first:
            said = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(said, 0)
        return bytes(said.tolist()).decode()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block in which the processes do not talk; where it raises AevlpError in one of them, all end after it.

        Each error is raised once, in the first process that has it; the others leave with SystemExit(1), silently.
        """
        error: AevlpError | None = None
        try:
            yield
        except AevlpError as caught:
            error = caught
        if self.alone:
            if error:
                raise error
            return
        text = torch.tensor(_number_of(str(error)) if error else 0)
        texts = [int(other) for other in self.each(text)]
        if error and texts.index(int(text)) == self.rank.number:
            raise error
        if any(texts):
            raise SystemExit(1)

    def rows(self, own: Tensor, n: int) -> Tensor:
        """Return n rows in order from each process's `share` of them; own: (length of the share, C)."""
        return own if self.alone else torch.cat(self._parts(own, n))

    def whole_batch(self, own: Tensor, n: int) -> Tensor:
        """Return the logits of a whole batch (n, C) from this process's (b, C), whose gradient is that of the whole batch.

        Other outputs of a classifier, (b, …), go the same way. What is beyond this process's share, as of the image that stands
        in for an empty one, is cut off. The other processes' outputs are constants here: each has the gradient of its own.
        """
        if self.alone:
            return own
        mine = self.share(n)
        own = own[: mine.stop - mine.start]
        parts = self._parts(own.detach(), n)
        # Weights' gradients are averaged over the processes, and the batch's is their sum. Scaling them here, and not the
        # loss, leaves the gradient of a table that the loss keeps as it is: every process computes all of that.
        if own.requires_grad:  # not so for features that do not learn
            own.register_hook(lambda gradient: gradient * self.rank.of)
        parts[self.rank.number] = own
        return torch.cat(parts)

    def learning(self, classifier: nn.Module, device: torch.device) -> nn.Module:
        """Return the classifier, wrapped so that a backward pass averages gradients over the processes.

        Weights that need no gradient now have none until it is wrapped anew.
        """
        if self.alone:
            return classifier
        return DistributedDataParallel(classifier, device_ids=[device.index] if device.type == "cuda" else None)

    def share_statistics(self, classifier: nn.Module, device: torch.device) -> None:
        """Let a classifier's batch normalisation take the images of all processes."""
        from timm.layers.norm_act import convert_sync_batchnorm

        if not self.alone and device.type == "cuda":
            convert_sync_batchnorm(classifier)
        elif not self.alone:
            share_statistics(classifier)

    def equal_buffers(self, classifier: nn.Module) -> None:
        """Give every process the first one's buffers, so that all evaluate the same classifier."""
        if not self.alone:
            for buffer in classifier.buffers():
                dist.broadcast(buffer, 0)

    def _parts(self, own: Tensor, n: int) -> list[Tensor]:
        lengths = [share.stop - share.start for share in self.shares(n)]
        padded = own.new_zeros((max(lengths), *own.shape[1:]))
        padded[: len(own)] = own
        return [part[:length] for part, length in zip(self.each(padded), lengths, strict=True)]


def own_device(name: str | None, rank: Rank) -> torch.device:
    """Return the named device; of several processes on GPUs each has its own. AevlpError where it is not there."""
    device = find_device(name)
    if rank.of == 1 or device.type != "cuda":
        return device
    if device.index is None:
        return find_device(f"cuda:{rank.local}")
    if rank.local:
        raise AevlpError(
            f"--device {name} is one GPU, and process {rank.number} of {rank.of} is not alone on it: leave the number out, "
            f"each process then takes its own"
        )
    return device


@contextmanager
def joined() -> Iterator[Processes]:
    """Give the processes of this training, joined until the end of the block; without torchrun that is this one alone.

    Raises AevlpError where they do not find each other, and where another one ended before this one.
    """
    processes = Processes(this_rank())
    if processes.alone:
        yield processes
        return
    import torch._dynamo  # imported once there is a group, it keeps the group's threads beyond its end

    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = in_one_line(error, 160)
        raise AevlpError(
            f"process {processes.rank.number} cannot join the {processes.rank.of} of its training: {reason}"
        ) from error
    try:
        yield processes
    except RuntimeError as error:
        if any(sign in str(error) for sign in LOST):
            raise AevlpError(
                f"process {processes.rank.number}: another process of this training has ended: see its own line, "
                f"if it was not killed; the same command resumes"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


def _number_of(text: str) -> int:
    """Return a number above 0 that stands for a text."""
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")
