"""The crash matrix: real processes die at every boundary of everything they do, and what came of it is judged."""
