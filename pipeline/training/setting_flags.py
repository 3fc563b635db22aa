"""Where two runs' settings differ -> the same in a user's words: the option that gives a setting instead of its key."""

FLAGS = {
    f"recipe.{name}": f"--{name.replace('_', '-')}"
    for name in ("epochs", "lr", "batch_size", "image_size", "backbone", "head")
}
FLAGS |= {"loss.name": "--loss", "policy.name": "--policy", "seed": "--seed", "compile": "--compile"}
FLAGS |= {f"corrections{part}": "--corrections" for part in ("", ".answers", ".sha256")}


def with_flag(difference: str) -> str:
    """Return a `provenance.difference`, as in "recipe.lr: 0.5, not 0.01", as "--lr: 0.5, not 0.01" where an option gives it."""
    place, sign, values = difference.partition(": ")
    return f"{FLAGS.get(place, place)}{sign}{values}"
