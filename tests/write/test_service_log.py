"""What W&B's service says in its own log alone, or has no room to say."""

import shutil

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write.service_log import ServiceLog


def test_a_full_disk_is_said_where_the_log_has_no_room_for_it(tmp_path, monkeypatch, caplog):
    """Once, and what to do."""
    run, ledger = FakeRun(), Ledger()
    run.settings.log_internal, run.settings.sync_dir = str(tmp_path / "internal.log"), str(tmp_path)
    log = ServiceLog(run, ledger)
    log.look()
    assert 0 == ledger.service_errors
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    log.look()
    log.look()
    assert 1 == ledger.service_errors
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no space left on device" in said
    assert f"Make room on the disk of {tmp_path}" in said
