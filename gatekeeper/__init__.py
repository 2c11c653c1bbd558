"""Stands at the edge: knows who asks and what they may run, forwards what the policy allows, holds no key."""
