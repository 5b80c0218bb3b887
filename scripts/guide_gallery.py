"""Lay the pictures of a finished demonstration side by side for the guide's gallery.

python scripts/guide_gallery.py runs/demonstration     writes docs/images/gallery/*.png
"""

import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from wolfhound.evidence import Gallery
from wolfhound.store import EvidenceStore

TARGET = Path(__file__).parent.parent / "docs" / "images" / "gallery"
CHOSEN = {
    "perturbations": ("universal/sgd_uap-linf-10of255/vgg16", "Clean and perturbed", 2),
    "per-image": ("targeted/targeted_ascent-linf-8of255/vgg16", "Original, adversarial, difference, difference x10", 2),
    "corruptions": ("natural/corruptions/vgg16", "One image under every corruption at severity 3", 4),
    "backgrounds": ("bias/confounded", "Original, Grad-CAM, other background, Grad-CAM", 2),
    "filters": ("inside/vgg_f", "First-layer filters", 1),
    "maps": ("inside/vgg_f", "Images under their class activation maps", 2),
    "patches": ("inside/vgg_f", "Strongest patches of layer relu5", 1),
}
SIDE, GAP = 160, 8


def main() -> None:
    """Write one PNG for each gallery; the first rows, as the audit chose them."""
    store = EvidenceStore(Path(sys.argv[1]))
    evidence = store.evidence()
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, (finding, title, rows) in CHOSEN.items():
        gallery = next(each for each in evidence.finding(finding).galleries if each.title == title)
        sheet(store, gallery, rows).save(TARGET / f"{name}.png", optimize=True)


def sheet(store: EvidenceStore, gallery: Gallery, rows: int) -> Image.Image:
    """Return the first `rows` rows of a gallery on white, every picture as high as the others."""
    lines = [[_picture(store.get(one.artefact)) for one in row] for row in gallery.rows[:rows]]
    width = max(sum(picture.width + GAP for picture in line) for line in lines) - GAP
    whole = Image.new("RGB", (width, len(lines) * (SIDE + GAP) - GAP), "white")
    for number, line in enumerate(lines):
        left = 0
        for picture in line:
            whole.paste(picture, (left, number * (SIDE + GAP)))
            left += picture.width + GAP
    return whole.quantize(128)


def _picture(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return picture.resize((round(picture.width * SIDE / picture.height), SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
