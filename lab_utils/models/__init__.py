"""The small real models that the labs serve, built here and never downloaded."""
