"""The peer: a Flask route that verifies a webhook's signature and inserts one row, and does nothing else."""

import hashlib
import hmac
import os
import threading

import psycopg
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
_KEY = os.environ["BARE_KEY"].encode()
_URL = os.environ["BARE_DATABASE_URL"]
_own = threading.local()


@app.post("/webhook")
def webhook() -> Response:
    """Verify, insert, commit, answer."""
    raw = request.get_data()
    given = request.headers.get("XClaim-Signature", "").removeprefix("sha256=")
    if not hmac.compare_digest(hmac.new(_KEY, raw, hashlib.sha256).hexdigest(), given):
        return Response(status=401)
    connection = getattr(_own, "connection", None)
    if connection is None:
        connection = _own.connection = psycopg.connect(_URL)
    with connection.transaction():
        connection.execute("INSERT INTO received (body) VALUES (%s)", [raw])
    return jsonify({})


@app.get("/livez")
def livez() -> Response:
    """Tell that the process answers."""
    return jsonify({})
