"""The course in containers: what `triton-lab up` and `triton-lab down` do with `docker/compose.yaml`."""
