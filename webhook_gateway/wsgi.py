"""What gunicorn serves: the only module that works at import."""

from shared import error_reports, logs, tracing
from shared.config import WebSettings, load
from webhook_gateway.app import create_app

settings = load(WebSettings)
logs.configure(settings)
error_reports.switch_on()
tracing.switch_on("cfar-web")
app = create_app(settings)
