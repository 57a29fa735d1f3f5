"""What gunicorn serves: the only module that works at import."""

from shared import logs
from shared.config import WebSettings, load
from webhook_gateway.app import create_app

settings = load(WebSettings)
logs.configure(settings)
app = create_app(settings)
