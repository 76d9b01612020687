"""Hand the course out and take it in: the student package, the student's submission, the catch-up."""
