"""Wolfhound's shared vocabulary: classifiers, image sets, rates, plans and evidence.

Nothing here knows an attack, an explainer, a report or Prefect, and importing the package imports no torch.
"""

__version__ = "0.1.0"
