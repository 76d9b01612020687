"""The student package, the submission and the catch-up, tried as a teacher and a student would."""
