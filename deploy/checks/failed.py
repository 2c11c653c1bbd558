"""What all checks raise."""

from deploy.providers.interface import ProviderError


class CheckFailed(ProviderError):
    """What was deployed is not as it should be; the message says what was seen, and what should have been."""
