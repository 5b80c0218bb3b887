"""Kubeflow Pipelines 2: an audit as a container step with its evidence, metrics and exit code.

Compile it with: python kubeflow_pipeline.py
"""

from kfp import compiler, dsl

IMAGE = "wolfhound:0.1.0"
"""Built from the Dockerfile of this project."""

_SCRIPT = """
set -u
code=0
wolfhound run "$0" --output "$1" --quiet --without-prefect || code=$?
case "$code" in 0|1|3) ;; *) exit "$code" ;; esac
mkdir -p "$(dirname "$3")"
printf %s "$code" > "$3"
wolfhound export "$1" --to "$2"
"""
"""A container that fails hands nothing on, so a verdict is an output: only bad input (2) and breaking off (4) fail."""


@dsl.container_component
def audit(
    plan: str,
    run: dsl.Output[dsl.Artifact],
    results: dsl.Output[dsl.Artifact],
    exit_code: dsl.OutputPath(int),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Run the plan (a path inside the image) and keep the run folder and the results, whatever the verdict."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", _SCRIPT], args=[plan, run.path, results.path, exit_code])


@dsl.container_component
def release(results: dsl.Input[dsl.Artifact]) -> dsl.ContainerSpec:
    """Stand for whatever follows an audit that is met."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", 'echo "released with $0"'], args=[results.path])


@dsl.pipeline(name="wolfhound-audit", description="A gate: the release runs only where every criterion is met.")
def gate(plan: str = "/audits/plan.yaml") -> None:
    """Audit a classifier and release it only on exit code 0."""
    step = audit(plan=plan)
    step.set_caching_options(enable_caching=False)  # an audit is asked for because something may have changed
    step.set_cpu_limit("4")
    step.set_memory_limit("16Gi")
    with dsl.If(step.outputs["exit_code"] == 0):
        release(results=step.outputs["results"])


if __name__ == "__main__":
    compiler.Compiler().compile(gate, "wolfhound-audit.yaml")
