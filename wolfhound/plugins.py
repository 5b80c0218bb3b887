"""What other installed packages bring: found by entry points, loaded when a plan names them, never at import.

A package names its objects in its own pyproject.toml, in one of the groups below. A plan asks for an attack or an
explainer as "plugin:NAME", for a classifier or an image set by source: plugin. Loading one runs the package's code.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, ModelError, PlanError, WolfhoundError
from wolfhound.images import ImageSet
from wolfhound.loading.finish import check_outputs

Group = Literal[
    "wolfhound.attacks", "wolfhound.explainers", "wolfhound.probes", "wolfhound.classifiers", "wolfhound.images"
]
PREFIX = "plugin:"


def plugin_names(group: Group) -> tuple[str, ...]:
    """Return the names that installed packages offer in a group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def is_plugin(name: str) -> bool:
    """Return whether a name in a plan stands for a plug-in.

    >>> is_plugin("plugin:mine"), is_plugin("sgd_uap")
    (True, False)
    """
    return name.startswith(PREFIX)


def plugged(group: Group, name: str) -> Any:
    """Return the object that an installed package offers under `name` (with or without "plugin:") in `group`.

    Raises:
        PlanError: no package offers it, several do, or it cannot be loaded.
    """
    point = _point(group, name.removeprefix(PREFIX))
    try:
        return point.load()
    except Exception as error:  # foreign code may raise anything
        raise PlanError(f"the plug-in {_shown(point)} cannot be loaded: {type(error).__name__}: {error}") from error


def plugin_origin(group: Group, name: str) -> str:
    """Return what a plug-in is and where it comes from: name, object, package and version.

    Raises:
        PlanError: no package offers it, or several do.
    """
    return _shown(_point(group, name.removeprefix(PREFIX)))


def plugged_classifier(name: str, options: Mapping[str, Any], *, cache: Path, called: str) -> Classifier:
    """Return the classifier that the plug-in's function returns: `function(cache=..., **options)`.

    Raises:
        PlanError: there is no such plug-in, or it does not take these options.
        ModelError: it fails, or returns no classifier that gives one finite score for each class.
    """
    made = _called("wolfhound.classifiers", name, options, ModelError, cache=cache)
    if not isinstance(made, Classifier):
        raise ModelError(f"expected the plug-in {name} to return a wolfhound Classifier, got {type(made).__name__}")
    check_outputs(made)
    return replace(made, name=called)


def plugged_images(name: str, options: Mapping[str, Any], *, cache: Path) -> ImageSet:
    """Return the image set that the plug-in's function returns: `function(cache=..., **options)`.

    Raises:
        PlanError: there is no such plug-in, or it does not take these options.
        DataError: it fails, or returns no image set.
    """
    made = _called("wolfhound.images", name, options, DataError, cache=cache)
    if not isinstance(made, ImageSet):
        raise DataError(f"expected the plug-in {name} to return a wolfhound ImageSet, got {type(made).__name__}")
    return made


def _point(group: Group, name: str) -> EntryPoint:
    # The same package may be found twice, by two places of the search path; that is one offer.
    found = {(point.value, point.group): point for point in entry_points(group=group, name=name)}
    if len(found) > 1:
        owners = ", ".join(sorted(_shown(point) for point in found.values()))
        raise PlanError(f"expected one plug-in called {name} in {group}, got {len(found)}: {owners} (remove one)")
    if not found:
        offered = ", ".join(plugin_names(group)) or "none"
        raise PlanError(
            f"expected an installed plug-in called {name} in {group}, got none (there is: {offered}; is its package "
            "installed beside wolfhound?)"
        )
    return next(iter(found.values()))


def _called(group: Group, name: str, options: Mapping[str, Any], kind: type[WolfhoundError], **given: Any) -> Any:
    function: Callable[..., Any] = plugged(group, name)
    try:
        inspect.signature(function).bind(**given, **options)
    except (TypeError, ValueError) as error:
        raise PlanError(f"the plug-in {name} does not take these options: {error}") from error
    try:
        return function(**given, **options)
    except WolfhoundError:
        raise
    except Exception as error:  # foreign code may raise anything
        raise kind(f"the plug-in {name} fails: {type(error).__name__}: {error}") from error


def _shown(point: EntryPoint) -> str:
    owner = f" of {point.dist.name} {point.dist.version}" if point.dist is not None else ""
    return f"{point.name} ({point.value}{owner})"
