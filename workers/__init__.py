"""Verbs: one module per flow, one Celery task per step."""
