"""What ruins audits, looked for before one starts: within seconds, on a sample, each with what to change.

Errors stop an audit before anything is run, unless the plan accepts them by their code; what is accepted, and every
warning, is printed among the report's limitations. Notes go to the terminal alone. Each code is explained in
docs/preflight.md.
"""

from flows.preflight.notice import Notice, Severity
from flows.preflight.run import limitations, notices, stop_at_errors

__all__ = ["Notice", "Severity", "limitations", "notices", "stop_at_errors"]
