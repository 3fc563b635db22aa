"""A sweep over many settings of a cache, beside codes and quality of each setting on their own.

Usage: python benchmarks/sweep.py CACHE [--alone 20]
CACHE: one whose full labels are known, such as cache/scenes.h5.
"""

import argparse
import time

from measuring import run

from aevlp.pipeline.evaluation.metrics import pseudo_label_quality
from aevlp.pipeline.labels.damp import DampSettings
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training.splits import splits
from aevlp.stages.cache_origin import dataset_of
from aevlp.stages.experiments.sweep import swept


def main() -> None:
    """Time both and print their ratio, a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache")
    parser.add_argument("--alone", type=int, default=20, help="settings that are measured on their own")
    options = parser.parse_args()
    cache = open_cache(options.cache)
    spec = dataset_of(cache, None, None)
    started = time.perf_counter()
    found = swept(cache, spec, ["damp"], {})
    together = time.perf_counter() - started

    assert cache.truth is not None
    train, val, test = splits(cache, spec.recipe.val_fraction)
    settings = [DampSettings(**row["constants"]) for row in found["results"][: options.alone]]
    started = time.perf_counter()
    for setting in settings:
        codes = cache.codes(setting)
        for part in (train.rows, val.rows, test.rows):
            if len(part):
                pseudo_label_quality(codes[part], cache.observed[part], cache.truth[part])
    alone = (time.perf_counter() - started) / len(settings)
    each = together / found["settings"]
    print(f"{found['settings']} settings of {len(cache):,} images: {together:.2f} s, {1000 * each:.2f} ms a setting")
    print(f"a setting on its own: {1000 * alone:.1f} ms, {alone / each:.1f} times as long")


if __name__ == "__main__":
    run(main)
