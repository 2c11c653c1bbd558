"""AWS's errors as sentences."""

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from deploy.providers.ec2 import errors


def refused(code: str, message: str = "It is so.", status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "RunInstances")  # type: ignore[arg-type]  # the stubs ask for members that AWS leaves out


@pytest.mark.parametrize("code", errors.SENTENCES)
def test_each_code_has_one_sentence(code: str) -> None:
    told = errors.sentence(refused(code), "eu-central-1")
    assert "{" not in told
    assert "\n" not in told
    assert not told.endswith(".")


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"])
def test_the_missing_action_is_named_even_where_aws_does_not(code: str) -> None:
    assert "may not do ec2:RunInstances;" in errors.sentence(refused(code), "eu-central-1")


def test_what_aws_encoded_is_not_told() -> None:
    message = "Not so. Encoded authorization failure message: c2VjcmV0"
    assert errors.sentence(refused("Odd", message), None) == "AWS refused RunInstances: Not so (Odd)"


OWN = [
    (exceptions.NoCredentialsError(), "there are no AWS credentials"),
    (exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "are not complete"),
    (exceptions.TokenRetrievalError(provider="sso", error_msg="expired"), "have expired"),
    (exceptions.UnauthorizedSSOTokenError(), "have expired"),
    (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "AWS does not answer from region eu-central-1"),
    (exceptions.ReadTimeoutError(endpoint_url="https://x"), "AWS does not answer from region eu-central-1"),
    (exceptions.InvalidRegionError(region_name="Mars!"), "eu-central-1 is no name of a region"),
    (exceptions.ParamValidationError(report="odd\nthing"), "AWS could not be asked: "),
]


@pytest.mark.parametrize(("error", "said"), OWN, ids=[type(error).__name__ for error, _ in OWN])
def test_what_boto_says_itself_has_one_sentence_too(error: BotoCoreError, said: str) -> None:
    told = errors.sentence(error, "eu-central-1")
    assert said in told
    assert "\n" not in told


@pytest.mark.parametrize(("status", "final"), [(400, True), (403, True), (500, False), (503, False)])
def test_only_a_refusal_is_final(status: int, final: bool) -> None:
    assert errors.is_final(refused("Odd", status=status)) is final


def test_want_of_machines_is_final_whatever_its_status() -> None:
    assert errors.is_final(refused("InsufficientInstanceCapacity", status=500))
