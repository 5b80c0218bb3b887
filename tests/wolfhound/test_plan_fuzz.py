"""No bytes make the reader of plans raise anything but its own error."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import plans
from tests.fuzzing import fuzz_examples
from wolfhound.errors import PlanError
from wolfhound.plan import AuditPlan
from wolfhound.plan_reading import parse_plan

READY = [path.read_bytes() for path in sorted(Path(plans.__file__).parent.glob("*.yaml"))]
EXAMPLES = fuzz_examples()
KEYS = sorted(
    {key for part in AuditPlan.model_json_schema()["$defs"].values() for key in part.get("properties", {})}
    | set(AuditPlan.model_fields)
)
WORDS = [
    "folder",
    "csv",
    "onnx",
    "endpoint",
    "demonstration",
    "all",
    "10/255",
    "1/0",
    "30 %",
    "-1/255",
    "imagenet",
    "\0",
    "é",
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*WORDS, *KEYS]) | st.text(max_size=6)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


def check(source: bytes) -> None:
    with suppress(PlanError):
        assert isinstance(parse_plan(source, name="the plan", folder=Path("/audits")), AuditPlan)


@settings(max_examples=EXAMPLES)
@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_no_tree_of_known_keys_breaks_the_reader(tree: object) -> None:
    check(yaml.safe_dump(tree).encode())


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_no_change_of_a_ready_plan_breaks_the_reader(data: st.DataObject) -> None:
    """A value somewhere in a ready plan is replaced: nearly every section is reached with something odd in it."""
    document = yaml.safe_load(data.draw(st.sampled_from(READY)))
    node = document
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        place = data.draw(st.sampled_from(places))
        if not isinstance(node[place], dict | list) or not node[place] or data.draw(st.booleans()):
            node[place] = data.draw(TREES)
            break
        node = node[place]
    check(yaml.safe_dump(document).encode())


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_no_bytes_break_the_reader(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(READY)))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=6))
    check(bytes(content))


@settings(max_examples=EXAMPLES)
@given(st.text(st.sampled_from("{}[]:-,#&*!|>'\"%@` \n\tab01.~<?"), max_size=60))
def test_no_yaml_signs_break_the_reader(text: str) -> None:
    check(text.encode())


@pytest.mark.parametrize(
    "source",
    [
        b"[" * 5000,
        b"a: " * 3000,
        b"fixed_on: 2026-99-99",
        b"? [1, 2]\n: 3",
        b"? {a: 1}\n: 3",
        b"seed: !!int x",
        b"seed: !!float x",
        b"a: !!python/object/apply:os.system [true]",
        b"a: &a [*a]\nname: *a",
        b"<<: 3",
        b"name: \xff",
        b"seed: 1" + b"0" * 5000,
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    ],
)
def test_known_traps_are_refused(source: bytes) -> None:
    with pytest.raises(PlanError, match="the plan"):
        parse_plan(source, name="the plan", folder=Path("/audits"))
