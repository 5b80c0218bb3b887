"""Facts about the run folder's lock: one audit at a time, and no lock outlives its process."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.run_folder import locked
from wolfhound.errors import PlanError

HOLD = """
import sys, time
from pathlib import Path
from flows.run_folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_audit_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(PlanError, match="another audit is running"), locked(tmp_path / "run"):
        pass


def test_the_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        pass
    with locked(tmp_path / "run"):
        assert list((tmp_path / "run").iterdir()) == []


def test_a_killed_audit_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(PlanError), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlanError, match="writable run folder"), locked(tmp_path / "file" / "run"):
        pass
