"""The code of a model card's pipeline, of a classifier with more classes than a pipeline returns of itself."""

import json
from pathlib import Path

import pytest
from conftest import MANIFEST, draw_blocks, stage_one, stage_two
from test_export_formats import VISION_TRANSFORMER, alone

from aevlp.stages.export.export import export

CLASSES = ["red", "green", "blue", "black", "white", "brown", "grey"]

pytestmark = pytest.mark.slow


@pytest.mark.process
def test_each_class_whose_score_reaches_its_threshold_is_printed(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    (tmp_path / "data" / "small-vit.json").write_text(VISION_TRANSFORMER)
    manifest = MANIFEST.replace("tiny-clip", "small-vit").replace("[red, green, blue]", json.dumps(CLASSES))
    (tmp_path / "data" / "blocks.yaml").write_text(manifest)
    cache = stage_one(tmp_path / "data", tmp_path / "blocks.h5")
    run = stage_two(cache, tmp_path / "run", backbone="clip", epochs=1, threshold_for="0.0001")
    own = export(run, to="hf", output=tmp_path / "own")
    card = (own / "README.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in card.split("```python\n")[1:]]
    (tmp_path / "data" / "images" / "00.png").rename(tmp_path / "photo.jpg")
    head = "import json, sys\nsys.path += json.loads(sys.argv[1])\n"
    code = head + "\n".join(blocks).replace('FOLDER = "."', f"FOLDER = {str(own)!r}")
    printed = alone(tmp_path, program=code).strip().split("\n")
    assert [sorted(json.loads(line.replace("'", '"'))) for line in printed] == [sorted(CLASSES)] * 2
