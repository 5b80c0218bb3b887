"""What exporters leave in an ONNX graph and no network needs: weights behind Identity nodes, attributes of training."""

from typing import Any

_TRAINING = {"BatchNormalization": "training_mode"}


def cleaned(model: Any) -> Any:
    """Return `model` (an onnx ModelProto, changed in place) without Identity nodes and attributes that say "inference".

    torch's older exporter hands weights that several layers share through Identity nodes, and converters look for
    weights among the initialisers.

    Raises:
        ValueError: a layer is in training mode.
    """
    outputs = {value.name for value in model.graph.output}
    renamed: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
            continue
        _leave_training(node)
        kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _leave_training(node: Any) -> None:
    flag = _TRAINING.get(node.op_type)
    for place, attribute in reversed(list(enumerate(node.attribute))):
        if attribute.name == flag:
            if attribute.i:
                raise ValueError(f"{node.name or node.op_type} is in training mode (export it after network.eval())")
            del node.attribute[place]
