"""Small repositories made for the tests, questions about them, and the ranks that the answers had when they were last looked at.

`python -m tests.golden` measures again and writes `ranks.json`: a change of ranking shows in review.
"""
