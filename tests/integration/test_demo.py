"""What `make demo` shows to whoever tries this for the first time."""

from __future__ import annotations

from pathlib import Path

from benchmarks.demo import QUESTIONS, ROOT

from recollect.workspace import Workspace


def test_the_questions_of_the_demo_have_the_right_answers(home: Path) -> None:
    with Workspace(home) as workspace:
        workspace.sync(ROOT)
        found = {question: workspace.search(question, str(ROOT), 1).hits[0].path for question in QUESTIONS}
    assert found == QUESTIONS
