"""Load on a server, and pictures of what it does to one."""
