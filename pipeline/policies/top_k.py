"""The best classes of every image, however low their score: where a threshold would leave many images without a label."""

from ..errors import AevlpError
from ..labels.codes import POSITIVE
from ..labels.damp import DampSettings, codes_from_scores, lowest
from .damp import Damp
from .interface import Known, Labels


class TopK(Damp):
    """Exactly `top_k` positives an image, by DAMP's fused score; ties go to the lower class index.

    negative_ratio: in [0, 1], share of the classes that become negative, those of them that are not positive. The other
    constants, and what is raised: `DampSettings`.
    """

    def __init__(
        self,
        *,
        temperature: float,
        eta: float,
        top_k: int,
        negative_ratio: float = 0.0,
        compat: str = "paper",
        half: bool = False,
    ) -> None:
        self.settings = DampSettings(temperature, eta, 0.0, top_k, negative_ratio, compat, half)

    def __call__(self, known: Known) -> Labels:
        top_k, classes = self.settings.top_k, known.final.shape[1]
        if top_k > classes:
            raise AevlpError(f"top_k of policy top-k must be at most the number of classes, {classes}, found {top_k}")
        codes = codes_from_scores(known.final, known.ranking, self.settings)
        codes[lowest(-known.final, top_k)] = POSITIVE
        return Labels(codes, known.final)
