"""A finding of the stage that looks inside a classifier, without any classifier."""

from tests.reports.sample_findings import Folder, drawing, perturbation
from wolfhound.evidence import Finding, Gallery, Quantity
from wolfhound.statistics import Interval, Rate

MEASURED = "measured images"


def inside(folder: Folder, name: str) -> Finding:
    """What the stage finds for one classifier: filters, maps of two methods, patches, scores beside baselines."""
    filters = tuple(folder.picture(perturbation(seed), f"scaling {seed}", "Sixteen filters") for seed in (1, 2))
    maps = tuple(
        tuple(
            folder.picture(drawing(4 * image + column), caption, f"A drawing: {caption}")
            for column, caption in enumerate(("wolf, predicted wolf", "gradcam for wolf, max 0.5", "layercam, max 1.2"))
        )
        for image in range(2)
    )
    patches = (tuple(folder.picture(drawing(20 + rank), f"channel 3, {rank}", "A patch") for rank in range(8)),)
    finding = Finding(
        id=f"inside/{name}",
        kind="inside",
        subject=name,
        title=f"Inside {name}",
        claim=f"1 of 2 kinds of maps of {name} was shown to depend on what the network learned.",
        knowledge="none",
        conditions={"images": "the first 24 of the report split", "layers": "features.9", "seed": "7"},
        rates={f"pointing_game {map_}": Rate(hits, 24, MEASURED) for map_, hits in (("gradcam", 20), ("random", 9))},
        controls=("pointing_game random",),
        quantities={
            "deletion: gradcam": Quantity(
                0.21,
                "share",
                "low is good; random 0.400, difference -0.190 [-0.240, -0.140]; better than every baseline",
                Interval(0.18, 0.25, 0.95, "bootstrap"),
            )
        },
        facts={
            "gradcam, features.9": "randomisation check: the maps depend on the learned weights",
            "cam": "cannot explain this network: it does not end in global average pooling",
        },
        galleries=(
            Gallery("First-layer filters", (filters,), "all of the layer", "grey is 0"),
            Gallery("Images under their maps", maps, "the first images by hash", "Randomisation check: gradcam passed"),
            Gallery("Strongest patches of layer features.9", patches, "1 channel of 64, drawn at random"),
            Gallery("Strongest patches of layer features.0", (), "not shown: no image makes any channel answer"),
        ),
        reproduce=f"wolfhound run plans/demonstration.yaml --only inside/{name}",
    )
    return folder.counted(finding, name="scores per image")
