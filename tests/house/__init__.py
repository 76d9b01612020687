"""Installation, doctor, command line and the state of the repository."""
