"""Paint an object over with what surrounds it, without any library: pull-push, a pyramid of weighted means.

Source: Gortler, Grzeszczuk, Szeliski & Cohen 1996 (The Lumigraph), section 3.4.2. Pull: halve the picture until nothing
is missing, each pixel the mean of the known ones below it. Push: fill what is missing from the level above, grown
bilinearly. Departure: a 2 x 2 mean for their 4 x 4 kernel. The filling is smooth, so the place of the object stays
visible as a blur with its outline; `mirrored_from_strip` leaves no outline, but no layout of the scene either.
"""

import torch
from torch import Tensor
from torch.nn import functional


def painted_over(images: Tensor, masks: Tensor) -> Tensor:
    """Return images `[B,3,H,W]` with the masked places `[B,1,H,W]` (1: to be filled) filled smoothly from around them.

    What is not masked stays to the bit. An image that is masked as a whole becomes grey (0.5).
    """
    known = 1 - masks
    return _filled(images * known, known) + images * known


def _filled(weighted: Tensor, known: Tensor) -> Tensor:
    """Return the filling of what is unknown, 0 where all is known. `weighted` is colour times `known`."""
    height, width = known.shape[-2:]
    if height == width == 1:
        return (1 - known) * 0.5
    pulled, weight = _halved(weighted), _halved(known)
    mean = pulled / weight.clamp(min=1e-12)
    seen = (weight > 0).to(known)
    above = mean * seen + _filled(mean * seen, seen)
    grown = functional.interpolate(above, size=(height, width), mode="bilinear", align_corners=False)
    return grown * (1 - known)


def _halved(values: Tensor) -> Tensor:
    """Return 2 x 2 means; an odd side is continued by nothing, with weight 0."""
    height, width = values.shape[-2:]
    padded = functional.pad(values, (0, width % 2 if width > 1 else 0, 0, height % 2 if height > 1 else 0))
    return functional.avg_pool2d(padded, kernel_size=(2 if height > 1 else 1, 2 if width > 1 else 1))


def mirrored_from_strip(images: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return plates made of the largest object-free strip beside each box, mirrored over the whole image.

    Source: the idea of Only-BG-T (Xiao et al. 2020, appendix A), which tiles the largest free rectangle over the box
    alone; here it covers everything, so that no outline of the object is left, and it is mirrored at each seam.

    Args:
        images: `[B,3,H,W]`.
        boxes: rows and columns of each object, int64 `[B,4]` (top, left, bottom, right; the last two are exclusive).

    Returns:
        Plates `[B,3,H,W]`, and for each whether the strip is at least an eighth of the image, bool `[B]`.
    """
    made, enough = [], []
    for image, box in zip(images, boxes.tolist(), strict=True):
        strip = _largest_strip(image, box)
        made.append(_mirrored(strip, image.shape[1:]) if strip.numel() else image)
        enough.append(strip.shape[1] * strip.shape[2] * 8 >= image.shape[1] * image.shape[2])
    return torch.stack(made), torch.tensor(enough)


def _largest_strip(image: Tensor, box: list[int]) -> Tensor:
    top, left, bottom, right = box
    strips = (image[:, :top], image[:, bottom:], image[:, :, :left], image[:, :, right:])
    return max(strips, key=lambda strip: strip.shape[1] * strip.shape[2])


def _mirrored(strip: Tensor, size: torch.Size) -> Tensor:
    """Return the strip continued by its own mirror images to that height and width."""
    rows, columns = (_bounced(count, wanted) for count, wanted in zip(strip.shape[1:], size, strict=True))
    return strip[:, rows][:, :, columns]


def _bounced(count: int, wanted: int) -> Tensor:
    """0, 1, ..., count - 1, count - 1, ..., 0, 0, 1, ... until there are `wanted`."""
    place = torch.arange(wanted) % (2 * count)
    return torch.where(place < count, place, 2 * count - 1 - place)
