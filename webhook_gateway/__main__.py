"""`python -m webhook_gateway …` is `cfar …`, for where the project's commands are not installed, as on a dyno."""

from webhook_gateway.cli import main

if __name__ == "__main__":
    main(prog_name="cfar")
