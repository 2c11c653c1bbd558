"""The operator's verbs, as Fabric tasks in namespaces; fabfile.py assembles them. Each is a thin shell over deploy."""
