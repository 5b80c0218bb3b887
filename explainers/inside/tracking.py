"""A tensor that knows which pixels it can depend on.

It sees the operations below PyTorch's layers and functions, so a network may be written in any way: modules, functions,
operators, in-place forms, TorchScript. What becomes of the knowledge is stated operation by operation in `field_rules`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from explainers.inside.field_rules import RULES, Operation, Rule, pointwise, unknown
from explainers.inside.spans import Field, Span


class UntraceableError(Exception):
    """The network takes values out of tensors, or writes into parts of them: what depends on what is lost."""


class Tracked(Tensor):
    """A plain tensor `value` with the `field` of its elements."""

    value: Tensor
    field: Field

    @staticmethod
    def __new__(cls, value: Tensor, field: Field) -> "Tracked":
        """Wrap `value`."""
        made: Callable[..., Tracked] = torch.Tensor._make_wrapper_subclass
        wrapped = made(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=value.device,
        )
        wrapped.value, wrapped.field = value, field
        return wrapped

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Keep the places of a dense layer over channels, which PyTorch flattens; leave the rest to the dispatch."""
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            if func is functional.linear and args and isinstance(args[0], Tracked):
                inputs, others = args[0], (args[1:], kwargs)
                over_channels = inputs.field.dims is not None and -1 not in inputs.field.dims
                if over_channels and not any(isinstance(other, Tracked) for other in tree_leaves(others)):
                    return Tracked(func(inputs.value, *args[1:], **kwargs), inputs.field)
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the operation on the plain tensors and give its results their fields."""
        args, kwargs = tuple(args), kwargs or {}
        name = func.overloadpacket.__name__
        if name in _TAKES_VALUES_OUT:
            raise UntraceableError(f"{name} takes a value out of a tensor")
        plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
        result = func(*plain_args, **plain_kwargs)
        if name in _FORGETS:
            return tree_map(lambda leaf: Tracked(leaf, Field(Span.of_nothing(), Span.of_nothing(), None)), result)
        operation, rule = _operation(func, args, kwargs), _rule(func)
        if func._schema.is_mutable:
            return _written(operation, rule, args, result)
        leaves, structure = tree_flatten(result)
        tensors = iter(range(len(leaves)))
        fields = [
            Tracked(leaf, rule(operation, leaf, next(tensors))) if isinstance(leaf, Tensor) else leaf for leaf in leaves
        ]
        return tree_unflatten(fields, structure)


_TAKES_VALUES_OUT = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select"}
_FORGETS = {
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like",
    "new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided",
}  # fmt: skip


def _plain(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Tracked) else leaf


def _operation(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation:
    declared = list(enumerate(func._schema.arguments))
    given = {a.name: args[i] if i < len(args) else kwargs.get(a.name, a.default_value) for i, a in declared}
    return Operation(
        func,
        arguments=tree_map(_plain, given),
        fields=[leaf.field for leaf in tree_leaves(given) if isinstance(leaf, Tracked)],
        tracked=[name for name, value in given.items() if isinstance(value, Tracked)],
    )


def _rule(func: Any) -> Rule:
    name = func.overloadpacket.__name__
    found = RULES.get(name.rstrip("_"))
    return found or (pointwise if torch.Tag.pointwise in func.tags else unknown)


def _written(operation: Operation, rule: Rule, args: Sequence[Any], result: Any) -> Tracked:
    """Note an in-place operation on its target.

    Other views of the target's memory would not learn of it. A pointwise operation on the target alone teaches them
    nothing; any other one is followed only where the target is the whole of its memory.
    """
    target = args[0] if args else None
    if not isinstance(target, Tracked) or result is not target.value:
        raise UntraceableError(f"{operation.name} writes into a tensor that the network made itself")
    held = target.value.untyped_storage().nbytes()
    alone = len(operation.fields) == 1 and rule is pointwise
    if not alone and held != target.value.numel() * target.value.element_size():
        raise UntraceableError(f"{operation.name} writes into a part of a tensor")
    target.field = rule(operation, result, 0)
    return target
