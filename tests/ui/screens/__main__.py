"""Writes all snapshots of screens, and docs/first-session.md, anew:
python -m tests.ui.screens
"""

from __future__ import annotations

from tests.ui.screens.drawn import written

for path, text in written().items():
    path.write_text(text)
