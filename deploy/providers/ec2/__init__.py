"""The provider `ec2`: machines of Amazon EC2, found again by their tags."""

from deploy.providers.ec2.api import World
from deploy.providers.ec2.ec2 import Ec2, Settings

__all__ = ["Ec2", "Settings", "World"]
