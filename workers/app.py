"""Entry point: `celery --app workers.app worker | beat | flower`.

Beat and Flower need only the broker; what a worker needs beyond that is read when a worker starts.
"""

from typing import Any

from celery.signals import setup_logging, worker_init

from shared import broker, error_reports, logs, tracing
from shared.config import Settings, WorkerSettings, load, stop_if_wrong
from shared.db import Database
from shared.lifecycle import TaskName
from workers import presence, progress, task_context
from workers.partners import problems_of_clients
from workers.runtime import Runtime, configure, connect

settings = load(Settings)
app = broker.create_celery(settings)
app.Task.Request = "workers.quiet_requests:QuietRequest"
app.conf.include = [
    "workers.cancel_booking",
    "workers.cancel_now",
    "workers.submit_claim",
    "workers.await_premium_refund",
    "workers.handle_webhook",
    "workers.fan_out_webhooks",
    "workers.poll_claim",
    "workers.deliver_callback",
    "workers.celery_door",
    "workers.sweep",
    "workers.check_invariants",
    "workers.keep_house",
    "workers.check_insurer",
]
progress.connect()
presence.connect()
task_context.connect()


@setup_logging.connect(weak=False)
def _configure_logs(**_signal: Any) -> None:
    logs.configure(settings)


@worker_init.connect(weak=False)
def _read_worker_settings(**_signal: Any) -> None:
    """Report every missing or wrong setting and exit 78, before any process is forked."""
    worker_settings = load(WorkerSettings)
    error_reports.switch_on()
    tracing.switch_on("cfar-worker")
    stop_if_wrong(problems_of_clients(worker_settings))

    def build() -> Runtime:
        url = worker_settings.database_url.get_secret_value()
        database = Database(url, publish=lambda messages: broker.publish(app, messages))
        return connect(worker_settings, database)

    configure(build)


@app.task(name=TaskName.PROBE)
def probe() -> None:
    """Show the supervisor that messages reach this worker's pool; the signals around it note the progress."""
