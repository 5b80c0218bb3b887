"""Airflow 3: audit, export and compare with the approved run, as the gate before a release.

Exit code 3 (inconclusive) is given its own way: the task is skipped, so that a release after it is skipped as well and
nobody takes it for a failure of the classifier. Exit codes 1, 2 and 4 fail the task.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

FOLDER = "/srv/audits"
RUN = f"{FOLDER}/runs/{{{{ ds_nodash }}}}"

with DAG(
    dag_id="wolfhound_audit",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a missed week is not audited after the fact
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5)},
) as dag:
    # A retry goes on where the audit broke off: finished steps are kept in the run folder.
    audit = BashOperator(
        task_id="audit",
        bash_command=f"wolfhound run {FOLDER}/plan.yaml --output {RUN} --quiet",
        skip_on_exit_code=3,
        execution_timeout=timedelta(hours=6),
        append_env=True,
    )
    export = BashOperator(
        task_id="export",
        bash_command=f"wolfhound export {RUN} --to {RUN}-results --plan plan.yaml",
        trigger_rule="all_done",
        append_env=True,
    )
    release = BashOperator(
        task_id="release",
        bash_command=f"echo released with the evidence in {RUN}",
        append_env=True,
    )
    audit >> [export, release]
