"""Python-based backends for the embedded Triton server."""
