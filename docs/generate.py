"""`make docs`: writes the generated blocks of README.md and docs/ anew, as shared/pictures.py draws them."""

from pathlib import Path

from shared.pictures import rewritten

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
