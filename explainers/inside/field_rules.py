"""How one operation of a network widens what its elements can depend on.

Each rule gives the field of one result. Operations without a rule are taken to mix all places of their inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from explainers.inside.spans import Field, Indices, joined, moved


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of an ATen operation.

    Attributes:
        func: the operation.
        arguments: its arguments by name, plain tensors and numbers, defaults filled in.
        fields: of the operands that depend on pixels, in order.
        tracked: the names of the arguments that are such operands themselves (and not lists of them).
    """

    func: Any
    arguments: Mapping[str, Any]
    fields: Sequence[Field]
    tracked: Sequence[str]

    @property
    def name(self) -> str:
        """The operation's name without overload and without the underscore of its in-place form."""
        name: str = self.func.overloadpacket.__name__
        return name.rstrip("_")

    @property
    def field(self) -> Field:
        """What the first operand depends on."""
        return self.fields[0]

    def run(self, replaced: Mapping[str, Any]) -> list[Tensor]:
        """Return the results with some arguments replaced."""
        given = {**self.arguments, **replaced}
        declared = self.func._schema.arguments
        args = [given[a.name] for a in declared if not a.kwarg_only]
        found = self.func(*args, **{a.name: given[a.name] for a in declared if a.kwarg_only})
        return [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]

    @property
    def numbers(self) -> tuple[Tensor, Tensor]:
        """Two tensors of the first operand's shape: one holds the row number of each element, one the column's."""
        operand = self.arguments[self.tracked[0]]
        shape, dims, device = operand.shape, self.field.dims or (-2, -1), _device(operand)
        rows, columns = (
            torch.arange(shape[dim], dtype=torch.float64, device=device)
            .view(-1, *[1] * (-dim - 1))
            .expand(shape)
            .contiguous()
            for dim in dims
        )
        return rows, columns

    @cached_property
    def coordinates(self) -> tuple[list[Tensor], list[Tensor]]:
        """The results for an operand that holds its row numbers, and for one that holds its column numbers."""
        rows, columns = self.numbers
        return self.run({self.tracked[0]: rows}), self.run({self.tracked[0]: columns})


def _device(operand: Tensor) -> torch.device:
    """Where coordinates must be to go through the operation; on the meta device they would have no values."""
    return torch.device("cpu") if operand.is_meta else operand.device


Rule = Callable[[Operation, Tensor, int], Field]


def unknown(operation: Operation, _result: Tensor, _index: int) -> Field:
    """Everything depends on everything."""
    return joined([field.collapsed(operation.name) for field in operation.fields], operation=operation.name)


def pointwise(operation: Operation, result: Tensor, _index: int) -> Field:
    """Each place depends on the same place of the operands."""
    field = joined(operation.fields, operation=operation.name)
    if field.dims is None:
        return field
    if result.ndim < -min(field.dims):  # statistics beside the result proper
        return field.collapsed(operation.name)
    rows, columns = (result.shape[dim] for dim in field.dims)
    return Field(field.rows.spread(rows), field.columns.spread(columns), field.dims, field.through)


def _along(operation: Operation, result: Tensor, index: int) -> Field:
    """Softmax, layer norm, concatenation: they mix along stated dimensions, which must hold no places."""
    if "normalized_shape" in operation.arguments:
        mixed = set(range(-len(operation.arguments["normalized_shape"]), 0))
    else:
        mixed = {_from_end(operation.arguments["dim"], result.ndim)}
    field = pointwise(operation, result, index)
    return field.collapsed(operation.name) if mixed & set(field.dims or ()) else field


def _from_end(dim: int, rank: int) -> int:
    return dim - rank if dim >= 0 else dim


def _pair(sizes: Any, *, default: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """The last two of an operation's sizes, of which one may stand for both."""
    listed = list(sizes) if isinstance(sizes, list | tuple) else [sizes]
    return (int(listed[-2:][0]), int(listed[-1])) if listed else default


def _on_grid(operation: Operation) -> bool:
    """Whether the first operand alone depends on pixels, with rows and columns where images have them."""
    return len(operation.fields) == 1 and len(operation.tracked) == 1 and operation.field.dims == (-2, -1)


def _windows(operation: Operation, result: Tensor, kernel: tuple[int, int]) -> Field:
    field, given = operation.field, operation.arguments
    stride = _pair(given["stride"], default=kernel)
    padding, dilation = _pair(given["padding"]), _pair(given.get("dilation", 1))
    spans = []
    for axis, span in enumerate((field.rows, field.columns)):
        starts = np.arange(result.shape[axis - 2], dtype=np.int64) * stride[axis] - padding[axis]
        stops = starts + dilation[axis] * (kernel[axis] - 1)
        spans.append(span.windows(starts, stops, every=dilation[axis]))
    return Field(spans[0], spans[1], (-2, -1), field.through)


def _convolution(operation: Operation, result: Tensor, index: int) -> Field:
    given = operation.arguments
    if not _on_grid(operation) or operation.tracked[0] != "input" or given.get("transposed") or result.ndim != 4:
        return unknown(operation, result, index)
    return _windows(operation, result, _pair(list(given["weight"].shape)))


def _pooling(operation: Operation, result: Tensor, index: int) -> Field:
    if not _on_grid(operation):
        return unknown(operation, result, index)
    return _windows(operation, result, _pair(operation.arguments["kernel_size"]))


def _adaptive_pooling(operation: Operation, result: Tensor, index: int) -> Field:
    if not _on_grid(operation) or tuple(result.shape[-2:]) == (1, 1):
        return unknown(operation, result, index)
    spans = []
    for axis, span in enumerate((operation.field.rows, operation.field.columns)):
        total, places = result.shape[axis - 2], np.arange(result.shape[axis - 2], dtype=np.int64)
        spans.append(span.windows(places * len(span) // total, -(-(places + 1) * len(span) // total) - 1))
    return Field(spans[0], spans[1], (-2, -1), operation.field.through)


def _constant_border(operation: Operation, result: Tensor, _index: int) -> Field:
    field, pad = operation.field, list(operation.arguments["pad"])
    if field.dims is None:
        return field
    spans = []
    for dim, span in zip(field.dims, (field.rows, field.columns), strict=True):
        before = pad[2 * (-dim - 1)] if 2 * (-dim - 1) < len(pad) else 0
        read = np.arange(result.shape[dim], dtype=np.int64) - before
        spans.append(span.windows(read, read))
    return Field(spans[0], spans[1], field.dims, field.through)


def _batch_norm(operation: Operation, result: Tensor, index: int) -> Field:
    """With stored statistics it is pointwise; with the image's own (as in instance norm) it mixes all places."""
    return (unknown if operation.arguments.get("training") else pointwise)(operation, result, index)


def _reduction(operation: Operation, result: Tensor, index: int) -> Field:
    name, stated = operation.tracked[0], operation.arguments.get("dim")
    rank, field = operation.arguments[name].ndim, operation.field
    dims = [stated] if isinstance(stated, int) else list(stated or range(rank))
    if field.dims is None or {_from_end(dim, rank) for dim in dims} & set(field.dims):
        return unknown(operation, result, index)
    kept = bool(operation.arguments.get("keepdim"))
    rows, columns = (number.amax(dim=dims, keepdim=kept) for number in operation.numbers)
    return _came_from(operation, rows, columns)


def _movement(operation: Operation, result: Tensor, index: int) -> Field:
    """Views, slices, permutations, flips: the operation itself, run on coordinates, says where each place came from."""
    if operation.field.dims is None or len(operation.fields) > 1:
        return unknown(operation, result, index)
    rows, columns = operation.coordinates
    return _came_from(operation, rows[index], columns[index])


def _came_from(operation: Operation, rows: Tensor, columns: Tensor) -> Field:
    """The field of a result whose elements are those of the operand at the given coordinates."""
    down, across = _varying(rows), _varying(columns)
    if down is None or across is None or down[0] == across[0]:
        return operation.field.collapsed(operation.name)
    return moved(operation.field, rows=down[1], columns=across[1], dims=(down[0], across[0]))


def _varying(coordinates: Tensor) -> tuple[int, Indices] | None:
    """Return the one dimension (from the end) along which coordinates vary, and how; None where it is not just one."""
    for dim in range(-coordinates.ndim, 0):
        lines = coordinates.movedim(dim, 0).flatten(1)
        line = lines[:, 0]
        if float(line.min()) < float(line.max()) and bool((lines == line[:, None]).all()):
            return dim, line.to(torch.int64).cpu().numpy()
    return None


def _resampling(operation: Operation, result: Tensor, index: int) -> Field:
    """Enlarging and shrinking: the operation itself, run on one bright line at a time, says which places it reads."""
    if not _on_grid(operation):
        return unknown(operation, result, index)
    spans = []
    for axis, span in enumerate((operation.field.rows, operation.field.columns)):
        reached = _reached(operation, axis=axis)
        starts = reached.argmax(axis=0).astype(np.int64)
        stops = (len(reached) - 1 - reached[::-1].argmax(axis=0)).astype(np.int64)
        spans.append(span.windows(starts, stops))
    return Field(spans[0], spans[1], (-2, -1), operation.field.through)


def _reached(operation: Operation, *, axis: int) -> Any:
    """Whether each place along an axis of the operand (rows) reaches each of the result (columns), as booleans."""
    name = operation.tracked[0]
    shape, device = operation.arguments[name].shape[-2:], _device(operation.arguments[name])
    parts = []
    for start in range(0, shape[axis], 32):
        chosen = torch.eye(shape[axis], device=device)[start : start + 32]
        lines = chosen[:, None, :, None] if axis == 0 else chosen[:, None, None, :]
        found = operation.run({name: lines.expand(len(chosen), 1, *shape).contiguous()})[0]
        parts.append(found.abs().amax(dim=3 - axis)[:, 0] > 0)
    return torch.cat(parts).cpu().numpy()


def _table() -> dict[str, Rule]:
    names: dict[Rule, str] = {
        pointwise: (
            "_native_batch_norm_legit_no_training clone _to_copy to detach copy contiguous hardswish _prelu_kernel "
            "prelu lift_fresh fill zero"
        ),
        _batch_norm: "batch_norm native_batch_norm cudnn_batch_norm miopen_batch_norm _batch_norm_impl_index",
        _along: "_softmax _log_softmax native_layer_norm cat concat glu",
        _convolution: "convolution _convolution mkldnn_convolution cudnn_convolution",
        _pooling: "max_pool2d max_pool2d_with_indices avg_pool2d avg_pool3d mkldnn_max_pool2d",
        _adaptive_pooling: "_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d",
        _constant_border: "constant_pad_nd",
        _reduction: "mean sum amax amin var std var_mean linalg_vector_norm",
        _movement: (
            "view _unsafe_view reshape _reshape_alias permute transpose t unsqueeze squeeze expand slice select narrow "
            "split split_with_sizes chunk unbind unsafe_split unsafe_chunk flip roll index_select alias "
            "reflection_pad2d replication_pad2d movedim channel_shuffle native_channel_shuffle"
        ),
        _resampling: (
            "upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d _upsample_bilinear2d_aa "
            "upsample_bicubic2d _upsample_bicubic2d_aa"
        ),
    }
    return {name: rule for rule, listed in names.items() for name in listed.split()}


RULES: Mapping[str, Rule] = MappingProxyType(_table())
