"""Puts the system on machines: providers give them, engines are the database on them, tasks are the verbs."""
