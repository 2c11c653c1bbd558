"""What crosses a process border, and nothing else: messages, errors, the inventory's rows, the roles in certificates.

Every service imports this package and no other service; this package imports none of them (tests/unit/test_house.py).
"""
