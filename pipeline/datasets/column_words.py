"""What people call columns of a table, and fields of an object, by what they hold; words are compared by `key_of`."""

from ..labels.splits import SPELLINGS

LABELS = {
    "label", "labels", "class", "classes", "category", "target", "targets", "tag", "tags", "y", "classid", "categoryid",
    "labelid", "classnumber", "labelnumber", "labelidx", "classidx", "cls",
}  # fmt: skip
SPLIT = {"split", "splits", "set", "subset", "partition", "fold", "datasplit"}
# Whether a label is present, or how sure it is.
SURE = {
    "confidence", "conf", "score", "probability", "prob", "certainty", "likelihood", "value", "labelvalue", "confidencescore",
    "labelconfidence", "labelscore", "present", "ispresent", "presence", "positive", "ispositive", "verified", "isverified",
    "relevant", "isrelevant", "relevance",
}  # fmt: skip
_OF_A_SPLIT = {word for words in SPELLINGS.values() for word in words}
# Whether an image is of one split, as fast.ai's `is_valid` is.
OF_ONE_SPLIT = _OF_A_SPLIT | {f"is{word}" for word in _OF_A_SPLIT}
# Columns of 0 and 1, or of numbers from 0, that are no class; of one so named it has to be said.
NO_CLASS = LABELS | SPLIT | SURE | OF_ONE_SPLIT | {
    "id", "index", "idx", "row", "no", "nr", "#", "imageid", "imgid", "number", "key", "phase", "width", "height", "w", "h",
    "sex", "gender", "age", "weight", "count",
}  # fmt: skip
