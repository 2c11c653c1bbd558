"""What each role may do: from a TOML file, default deny, pure. docs/policy.md describes the file."""

from gatekeeper.policy.decide import decide
from gatekeeper.policy.load import load, parse
from gatekeeper.policy.model import Policy, PolicyError, Role

__all__ = ["Policy", "PolicyError", "Role", "decide", "load", "parse"]
