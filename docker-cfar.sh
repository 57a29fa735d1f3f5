#!/bin/sh
# The command line inside the image, where the project itself is not installed.
exec python -m webhook_gateway "$@"
