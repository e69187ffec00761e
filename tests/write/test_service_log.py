"""What W&B's service says in its own log alone, or has no room to say."""

import json
import shutil

import pytest

from otel_wandb_bridge.ledger import Ledger
from otel_wandb_bridge.testing import FakeRun
from otel_wandb_bridge.write.service_log import ServiceLog, last_look
from otel_wandb_bridge.write.writer import RunWriter


@pytest.fixture
def run(tmp_path):
    """A run whose service writes its log here."""
    made = FakeRun(id="logged")
    made.settings.log_internal, made.settings.sync_dir = str(tmp_path / "internal.log"), str(tmp_path)
    return made


@pytest.fixture
def service(run):
    """Writes to the log as the service does: a text is a message, bytes are what they are."""

    def write(said):
        line = (
            said if isinstance(said, bytes) else json.dumps({"level": "ERROR", "msg": said}).encode() + b"\n"
        )
        with open(run.settings.log_internal, "ab") as log:
            log.write(line)

    return write


def test_a_full_disk_is_said_where_the_log_has_no_room_for_it(run, tmp_path, monkeypatch, caplog):
    """Once, and what to do."""
    ledger = Ledger()
    log = ServiceLog(run, ledger)
    log.look()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))
    log.look()
    assert 0 == ledger.service_errors
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4095))
    log.look()
    log.look()
    assert 1 == ledger.service_errors
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no space left on device" in said
    assert f"Make room on the disk of {tmp_path}" in said


def test_an_upload_that_was_given_up_and_a_row_that_was_not_stored_are_said(run, service, tmp_path, caplog):
    """The first of each kind, with its reason and the run; each is counted, and only once."""
    ledger = Ledger()
    log = ServiceLog(run, ledger)
    log.look()
    service("all is well")
    service("filestream: fatal error: filestream: failed to upload: 400 Bad Request")
    service("handler: failed to save record: no space")
    service("handler: failed to save record: no space")
    for _ in range(2):
        log.look()
    assert 3 == ledger.service_errors
    service("handler: failed to save record: still no space")
    log.look()
    assert 4 == ledger.service_errors
    uploading, saving = [record.getMessage() for record in caplog.records]
    assert "run 'logged'" in uploading
    assert "wandb has given up uploading: 400 Bad Request. " in uploading
    assert f"wandb sync {tmp_path} " in uploading
    assert "wandb cannot write its local file: no space. " in saving


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(run, service, caplog):
    """The service writes it in pieces."""
    ledger = Ledger()
    log = ServiceLog(run, ledger)
    service("all is well")
    service(b'{"msg": "failed to save rec')
    log.look()
    service(b"ord: no")
    log.look()
    assert 0 == ledger.service_errors
    service(b' space"}\n{"msg"')
    log.look()
    assert 1 == ledger.service_errors
    assert "local file: no space. " in caplog.text


def test_a_line_longer_than_what_is_read_at_once_is_passed_over(run, service):
    """What follows it is read."""
    ledger = Ledger()
    log = ServiceLog(run, ledger)
    service(b"x" * ((1 << 20) + 5))
    log.look()
    service(b"\n")
    service("failed to save record: no space")
    log.look()
    assert 1 == ledger.service_errors


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"failed to save record: broken", "broken"),
        (b"failed to save record: \xff", "�"),
        (b'"failed to save record: of no form"', 'of no form"'),
        (b'{"message": "failed to save record: x"}', 'x"}'),
        (b'{"msg": "failed to save record: %s"}' % (b"a" * 201), "a" * 200),
    ],
)
def test_a_line_of_any_form_is_said(run, service, caplog, line, reason):
    """Most of them are JSON. A long one is cut."""
    service(line + b"\n")
    ServiceLog(run, Ledger()).look()
    assert f"local file: {reason}. What" in caplog.text


def test_what_is_said_after_a_run_has_finished_is_seen_too(run, service):
    """Its last rows go out no sooner. A teardown finishes all of them, and of others nothing is known."""
    ledger = Ledger()
    log = ServiceLog(run, ledger)
    for look in (last_look, lambda: last_look(run), lambda: last_look(FakeRun())):
        service("failed to save record: no space")
        look()
    assert 2 == ledger.service_errors
    log.look()
    assert 3 == ledger.service_errors


def test_a_writer_looks_at_the_end_of_each_flush(run, service):
    """As long as it has the run."""
    writer = RunWriter(run, "global_step", ledger := Ledger())
    service("failed to save record: no space")
    writer.end()
    writer.close()
    assert 1 == ledger.service_errors


def test_a_disabled_run_has_no_log(run, service):
    """Whatever lies there is somebody else's."""
    ledger = Ledger()
    service("failed to save record: no space")
    run.disabled = True
    ServiceLog(run, ledger).look()
    assert 0 == ledger.service_errors
