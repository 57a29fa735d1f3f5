"""Looking at the whole service from outside: what is wrong, why it matters, what to do.

    examination    asks everything below, each within its time
    advice         why a check matters and what to do: one table
    findings       what a check says

A check is a function that returns findings. It repairs nothing and raises nothing that is about the service's health.
"""
