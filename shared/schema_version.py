"""Whether the database's tables are those that this release needs."""

from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from shared import migrations


def complaint(session: Session) -> str | None:
    """Say what is missing; None when the schema is this release's or a newer one's."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    present = set(MigrationContext.configure(session.connection()).get_current_heads())
    shipped = {script.revision for script in scripts.walk_revisions()}
    # A revision that we do not ship is a newer release's, and its migrations are safe with the code before them.
    if set(scripts.get_heads()) <= present or present - shipped:
        return None
    return f"The database's schema is at {', '.join(sorted(present)) or 'nothing'}; run the migrations."
