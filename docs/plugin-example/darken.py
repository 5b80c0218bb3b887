"""An attack for Wolfhound in a package of its own: it darkens each image as far as the threat allows."""

from dataclasses import dataclass

from attacks.base import ImageProposal


@dataclass(frozen=True)
class Darken:
    share: float = 1.0
    name, title, source = "darken", "Darkening", "an example of a plug-in"
    access, targeted = "black-box label", False

    def propose(self, classifier, pixels, targets, threat, *, seeds):
        once = targets.new_ones(len(targets))
        return ImageProposal(pixels - self.share * threat.epsilon, steps=once, queries=0 * once)
