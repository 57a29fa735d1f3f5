"""`cfar erase`: a customer's personal data, on request. For operators."""

import click

from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api


@click.command()
@click.option("--booking", required=True, metavar="ID", help="Whose cancellations are meant.")
@click.option("--partner", metavar="CODE", help="Whose booking it is. Default: the deployment's own partner.")
@click.option("--note", help="Why; stays in the timeline and in the audit log with who.")
@click.option("--yes", is_flag=True, help="Do it; without it only told.")
@as_json
@with_api
def erase(api: Api, *, booking: str, partner: str | None, note: str | None, yes: bool, as_json: bool) -> None:
    """Remove a customer's personal data and keep the trail of the money (operators)."""
    asked = {"booking_id": booking, "partner": partner, "note": note, "dry_run": not yes}
    done = api.post("/v1/erasures", {name: value for name, value in asked.items() if value is not None})
    if as_json:
        print_json(done)
        return
    has, will = ("was", "will be") if yes else ("would be", "would be")
    click.echo(f"{done['erased']} {has} erased; {done['when_ended']} under way {will} once ended; ", nl=False)
    click.echo(f"{done['before']} erased before.")
    if not yes and done["erased"] + done["when_ended"]:
        click.echo("Nothing was changed. Do it with --yes.")
