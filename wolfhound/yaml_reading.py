"""A YAML document of somebody else's, read so that nothing in it is lost, runs or grows without bound."""

from typing import Any

import yaml

from wolfhound.errors import PlanError

_MOST_VALUES = 100_000


def yaml_document(source: bytes, *, name: str) -> Any:
    """Return the document of YAML bytes; `name` is what faults call it.

    Raises:
        PlanError: no YAML in UTF-8, a key that is there twice, or more values than anybody writes by hand.
    """
    try:
        document = _UniqueKeyLoader(source.decode()).get_single_data()
    except UnicodeDecodeError as error:
        raise PlanError(f"{name}: expected YAML in UTF-8 text, got byte {error.object[error.start]:#x}") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{name} is not valid YAML: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # a date of 99 months, say, or a value no number
        raise PlanError(f"{name} is not valid YAML: a value cannot be read ({error})") from error
    except RecursionError as error:
        raise PlanError(f"{name}: expected YAML, got brackets within brackets, too deep to be read") from error
    if _too_large(document):
        raise PlanError(f"{name}: expected YAML, got more than {_MOST_VALUES:,} values (does an anchor hold itself?)")
    return document


def _too_large(document: Any) -> bool:
    """Return whether a document has too many values once its anchors are written out, which a few lines can do."""
    waiting, seen = [document], 0
    while waiting:
        seen += 1
        if seen > _MOST_VALUES:
            return True
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return False


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML without repeated keys: the later one would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "expected text as a key", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
