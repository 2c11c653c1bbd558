"""Chooses a node of the cluster, runs the statement there through an SSH tunnel, and answers."""
