"""What AWS's errors mean to an operator: one sentence each. Pure.

The codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

_CREDENTIALS: Final = "set up boto3's credentials (`aws configure`, `aws sso login` or AWS_PROFILE) and run it again"
_EXPIRED: Final = f"the AWS credentials have expired; {_CREDENTIALS}"
_REFUSED: Final = (
    "AWS does not take these credentials in region {region}: they are wrong,"
    " or the region is not enabled for the account"
)
_THROTTLED: Final = "AWS says that the account asks too often, also after {attempts}; run it again in a minute"
_LIMIT: Final = (
    "the account's limit of instances in region {region} is reached ({message});"
    " ask for more at Service Quotas, or choose smaller or fewer machines"
)
_NO_IMAGE: Final = "region {region} has no such image ({message}); an AMI's id is good in its own region only"
_SILENT: Final = "AWS does not answer from region {region}; run it again, it looks first ({message})"
_NOT_READY: Final = "AWS has not opened the account for this yet ({message})"

_NO_CAPACITY: Final = "InsufficientInstanceCapacity"

SENTENCES: Final[Mapping[str, str]] = {
    "RequestExpired": _EXPIRED + "; if they are new, this machine's clock is wrong",
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "AuthFailure": _REFUSED,
    "InvalidClientTokenId": _REFUSED,
    "UnrecognizedClientException": _REFUSED,
    "SignatureDoesNotMatch": "AWS does not take the secret key of these credentials, or this machine's clock is wrong",
    "RequestLimitExceeded": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "InstanceLimitExceeded": _LIMIT,
    "VcpuLimitExceeded": _LIMIT,
    _NO_CAPACITY: (
        "AWS has no such machine free at the moment ({message}); wait, or choose another instance type or subnet"
    ),
    "Unsupported": "AWS does not offer this here ({message}); choose another instance type or subnet",
    "InvalidInstanceType": "region {region} has no such instance type ({message})",
    "InvalidAMIID.NotFound": _NO_IMAGE,
    "InvalidAMIID.Malformed": _NO_IMAGE,
    "InvalidAMIID.Unavailable": _NO_IMAGE,
    "InvalidSubnetID.NotFound": "region {region} has no such subnet ({message})",
    "InsufficientFreeAddressesInSubnet": "a subnet has no free address left ({message}); name another in ec2.subnets",
    "DefaultVpcDoesNotExist": "region {region} has no default VPC; name subnets in ec2.subnets",
    "VPCIdNotSpecified": "region {region} has no default VPC; name subnets in ec2.subnets",
    "InvalidKey.Format": "AWS does not take the operator's public key ({message})",
    "InvalidKeyPair.Duplicate": "a key pair of the cluster's name is there without the cluster's tag; remove it",
    "InvalidGroup.Duplicate": "a security group of that name is there without the cluster's tag ({message}); remove it",
    "IdempotentParameterMismatch": (
        "an earlier launch of this machine with other settings may still be under way; run it again in a minute"
    ),
    "OperationNotPermitted": "the machine is protected against this ({message}); take the protection away first",
    "OptInRequired": _NOT_READY,
    "PendingVerification": _NOT_READY,
    "Blocked": _NOT_READY,
}
_UNAUTHORISED: Final = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
_ACTION: Final = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z]+)")

# The first that fits counts.
_OWN: Final[tuple[tuple[type[BotoCoreError], str], ...]] = (
    (exceptions.ProfileNotFound, "there is no such AWS profile on this machine ({message})"),
    (exceptions.TokenRetrievalError, _EXPIRED),
    (exceptions.SSOTokenLoadError, _EXPIRED),
    (exceptions.UnauthorizedSSOTokenError, _EXPIRED),
    (exceptions.NoCredentialsError, f"there are no AWS credentials; {_CREDENTIALS}"),
    (exceptions.PartialCredentialsError, f"the AWS credentials are not complete; {_CREDENTIALS}"),
    (exceptions.CredentialRetrievalError, f"the AWS credentials can't be had; {_CREDENTIALS}"),
    (exceptions.NoRegionError, "no region is given; set ec2.region in the description, or AWS_REGION"),
    (exceptions.InvalidRegionError, "{region} is no name of a region"),
    (exceptions.EndpointConnectionError, "AWS can't be reached in {region}: no such region, or no way to it from here"),
    (exceptions.ConnectionError, _SILENT),
    (exceptions.HTTPClientError, _SILENT),
)


def sentence(error: BotoCoreError | ClientError | ResponseParserError, region: str | None) -> str:
    """What happened and what can be done about it. Never a credential, nor AWS's encoded messages."""
    if isinstance(error, ClientError):
        return _refusal(error, region)
    if isinstance(error, ResponseParserError):
        return "what AWS answered can't be read; something on the way may have answered instead; run it again"
    text = next((text for kind, text in _OWN if isinstance(error, kind)), "AWS could not be asked: {message}")
    return text.format(region=region, message=_plain(str(error)))


def code(error: ClientError) -> str:
    """AWS's code of the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def passing(*expected: str) -> Iterator[None]:
    """Lets errors of these codes pass: they tell that it was done before, as by a call whose answer was lost."""
    try:
        yield
    except ClientError as error:
        if code(error) not in expected:
            raise


def is_final(error: ClientError) -> bool:
    """Whether AWS has refused, so that nothing was done: 5xx leaves it open, but for want of machines."""
    if code(error) == _NO_CAPACITY:
        return True
    return 400 <= error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) < 500


def _refusal(error: ClientError, region: str | None) -> str:
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code(error) in _UNAUTHORISED:
        told = _ACTION.search(message)
        action = told.group(1) if told else f"ec2:{error.operation_name}"
        return f"these AWS credentials may not do {action}; docs/operations.md lists what they need"
    tried = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    known = SENTENCES.get(code(error))
    if known is None:
        return f"AWS refused {error.operation_name}: {_plain(message)} ({code(error)})"
    return known.format(region=region, message=_plain(message), attempts=f"{tried} attempts")


def _plain(message: str) -> str:
    """A message as part of a sentence: one line, no full stop, and nothing encoded."""
    return " ".join(message.partition("Encoded authorization failure message")[0].split())[:300].rstrip(". ")
