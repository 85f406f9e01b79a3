"""Machines that a model is sent to, and the package for each."""
