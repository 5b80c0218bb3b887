"""The patches of an image set that make a channel answer most: one pass over the set, bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import torch
from torch import Tensor

from explainers.inside.fields import Box, ReceptiveFields, receptive_fields
from explainers.inside.filters import checked_channels, layer_output
from explainers.inside.tiles import Tiles
from explainers.pixels.attributions import Neurons
from explainers.pixels.neurons import neuron_attributions
from explainers.pixels.rectifiers import Rule
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class StrongestPlaces:
    """Where channels of a layer answer most, over an image set: at most one place an image, so that images differ.

    Attributes:
        layer: dotted name.
        channels: which, `c` of them.
        values: float32 `[c,k]`, the activations, largest first. In a tie the earlier image comes first.
        images: int64 `[c,k]`, positions in the set.
        places: int64 `[c,k,2]`, row and column on the layer's grid; the first of equal ones, row by row.
        fields: the layer's receptive fields in pixels of the set's images.
        searched: how many images were looked at.
    """

    layer: str
    channels: tuple[int, ...]
    values: Tensor = field(repr=False)
    images: Tensor = field(repr=False)
    places: Tensor = field(repr=False)
    fields: ReceptiveFields
    searched: int

    @property
    def silent(self) -> tuple[int, ...]:
        """The channels that no image makes answer above 0: their "strongest" patches say nothing."""
        return tuple(channel for row, channel in enumerate(self.channels) if float(self.values[row, 0]) <= 0)

    def window(self, row: int, rank: int) -> Box:
        """Return the pixels shown for one place: its field, all windows of one size.

        Along a side on which the largest field is as large as the image or larger, that is the whole image. Elsewhere
        the window may reach beyond the image's edge, as the field does.
        """
        box = self.fields.box(*self.places[row, rank].tolist())
        sides = []
        for start, size, image in zip(box[:2], self.fields.size, self.fields.image_size, strict=True):
            sides.append((0, image) if size >= image else (start, start + size))
        return Box(sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def strongest_places(
    classifier: Classifier,
    images: ImageSet,
    *,
    layer: str,
    channels: Sequence[int] | None = None,
    most: int = 9,
    batch_size: int = 32,
    progress: Progress = silent,
) -> StrongestPlaces:
    """Return the `most` images, and the place in each, that make each channel answer most, from one pass over the set.

    Memory: one batch, and `most` numbers a channel. The result does not depend on the batch size but for rounding.

    Args:
        images: of any size; the classifier resizes as always, and fields are in pixels of these images.
        channels: which of the layer's; None takes all.

    Raises:
        ModelError: no such layer, or one that gives no feature map.
        ValueError: fewer images than `most`, a channel that the layer lacks, or activations that are not finite.
    """
    if not 1 <= most <= len(images):
        raise ValueError(f"expected 1 to {len(images)} places a channel, one an image of {images.name}, got {most}")
    fields = receptive_fields(classifier, layer, size=images.size)

    def answers() -> Iterator[_Kept]:
        with progress(f"strongest patches of {layer} in {images.name}", len(images)) as advance:
            for positions, pixels in images.batches(batch_size):
                output = layer_output(classifier, pixels.to(classifier.device, classifier.dtype), layer=layer)
                if channels is not None:
                    output = output[:, checked_channels(channels, output.shape[1], layer=layer)]
                yield _best(_strongest(output, torch.from_numpy(positions), layer=layer), most=most)
                advance(len(positions))

    kept = reduce(lambda best, more: _best(best.joined(more), most=most), answers())
    chosen = range(len(kept.values)) if channels is None else channels
    places = torch.stack([kept.places // fields.grid[1], kept.places % fields.grid[1]], dim=2)
    return StrongestPlaces(
        layer, tuple(int(channel) for channel in chosen), kept.values, kept.images, places, fields, len(images)
    )


@dataclass(frozen=True, eq=False)
class _Kept:
    """The best so far, each `[c,n]`: activation, position of the image, number of the place on the grid."""

    values: Tensor
    images: Tensor
    places: Tensor

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.values, self.images, self.places

    def joined(self, later: "_Kept") -> "_Kept":
        return _Kept(*(torch.cat(pair, dim=1) for pair in zip(self.parts, later.parts, strict=True)))


def _strongest(output: Tensor, positions: Tensor, *, layer: str) -> _Kept:
    """The strongest place of each image and channel, of activations `[B,c,h,w]`."""
    flat = output.flatten(2).float()
    if not bool(torch.isfinite(flat).all()):
        raise ValueError(f"expected finite activations of layer {layer!r}, got NaN or infinity")
    places = flat.argmax(dim=2)  # the first of equal ones
    values = flat.gather(2, places[:, :, None])[:, :, 0]
    return _Kept(values.T.cpu(), positions.expand(flat.shape[1], -1), places.T.cpu())


def _best(found: _Kept, *, most: int) -> _Kept:
    order = found.values.sort(dim=1, descending=True, stable=True).indices[:, :most]
    return _Kept(*(part.gather(1, order) for part in found.parts))


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches cut out of their images.

    Attributes:
        tiles: the patches, one row a channel; grey where the field reaches beyond the image.
        inside: bool `[N,h,w]`, which pixels of each patch belong to its image.
        windows: where each was cut out.
        images: of the set, each patch's.
    """

    tiles: Tiles
    inside: Tensor = field(repr=False)
    windows: tuple[Box, ...]
    images: tuple[int, ...]


def cut_patches(found: StrongestPlaces, images: ImageSet, *, channels: Sequence[int] | None = None) -> Patches:
    """Return the patches of some channels (None: all that were searched), read image by image.

    Raises:
        ValueError: a channel that was not searched.
    """
    chosen = found.channels if channels is None else tuple(channels)
    unknown = [channel for channel in chosen if channel not in found.channels]
    if unknown or not chosen:
        raise ValueError(
            f"expected channels out of those searched, {list(found.channels)[:20]}, got {list(chosen)[:20]}"
        )
    pictures, inside, windows, labels, images_of = [], [], [], [], []
    for channel in chosen:
        row = found.channels.index(channel)
        for rank in range(found.values.shape[1]):
            position, value = int(found.images[row, rank]), float(found.values[row, rank])
            window = found.window(row, rank)
            picture, belongs = cut(images.load([position])[0], window)
            pictures.append(picture)
            inside.append(belongs)
            windows.append(window)
            images_of.append(position)
            never = " (never above 0)" if channel in found.silent else ""
            labels.append(f"channel {channel}: {value:.3g} in image {position}{never}")
    tiles = Tiles(
        torch.stack(pictures),
        tuple(labels),
        f"pixels as they are; grey beyond the image; {found.fields.text}",
        columns=found.values.shape[1],
    )
    return Patches(tiles, torch.stack(inside), tuple(windows), tuple(images_of))


@dataclass(frozen=True, eq=False)
class DrivenPatches:
    """What in each patch drives its channel: the gradient of the channel's activation at that place.

    Attributes:
        tiles: `[N,3,h,w]` beside the patches, in the same order; 0 is grey, each by its own scale, that of
            its window (see `Attributions.pictures`). Grey also where the field reaches beyond the image.
        caution: what must be said wherever they are shown; "" for nothing.
    """

    tiles: Tiles
    caution: str


def drive_patches(
    classifier: Classifier,
    found: StrongestPlaces,
    images: ImageSet,
    *,
    channels: Sequence[int] | None = None,
    rule: Rule = "guided",
) -> DrivenPatches:
    """Return, for each patch of `cut_patches`, the guided gradient of the activation that put it there.

    Args:
        rule: how gradients pass rectifiers; "guided" is Springenberg et al. 2015, section 3.4.

    Raises:
        ModelError: the rule needs rectifiers and the network has none.
        ValueError: a channel that was not searched.
    """
    patches = cut_patches(found, images, channels=channels)
    chosen = found.channels if channels is None else tuple(channels)
    pictures, caution = [], ""
    for channel in chosen:
        row = found.channels.index(channel)
        # A channel at a time, so that no more than its images are in memory.
        pixels = images.load(found.images[row].numpy()).to(classifier.device, classifier.dtype)
        neurons = Neurons(found.layer, torch.full((len(pixels),), channel), found.places[row])
        driven = neuron_attributions(classifier, pixels, neurons, rule=rule)
        caution = driven.caution
        # Scaled by what is in the window: by the whole image, most of which is 0, nearly all would be cut off.
        windows = [cut(values, found.window(row, rank), beyond=0.0)[0] for rank, values in enumerate(driven.values)]
        pictures.append(replace(driven, values=torch.stack(windows)).pictures().float().cpu())
    tiles = Tiles(torch.cat(pictures), patches.tiles.labels, "grey 0; each by its own scale", patches.tiles.columns)
    return DrivenPatches(tiles, caution)


def cut(values: Tensor, window: Box, *, beyond: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return a window of `[C,H,W]`, filled with `beyond` outside the image, and which of it is inside, `[h,w]`.

    >>> picture, inside = cut(torch.ones(1, 2, 2), Box(-1, 0, 1, 1))
    >>> picture.tolist(), inside.tolist()
    ([[[0.5], [1.0]]], [[False], [True]])
    """
    height, width = window.size
    rows, columns = torch.arange(window.top, window.bottom), torch.arange(window.left, window.right)
    here = (rows >= 0) & (rows < values.shape[1]), (columns >= 0) & (columns < values.shape[2])
    inside = here[0][:, None] & here[1]
    picture = values.new_full((values.shape[0], height, width), beyond)
    picture[:, inside] = values[:, rows[here[0]]][:, :, columns[here[1]]].flatten(1)
    return picture, inside
