"""The template of AWS, without an account: linted, created in a server that plays AWS, its policies enforced there.

That server skips what it does not know and says that all went well. So each resource of the template is either seen
there, or asked for once more by the API of its service, or, where the server lacks the service, held against the
description that botocore has of the call. A type of which none is said here fails.
"""

import copy
import functools
import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pandas as pd
import pytest
import requests
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from tests.clouds import environment
from tests.conftest import ROOT
from tests.emulators import serving
from tests.test_spark import CONF, lines
from vindima.etl import microdata, schemas

pytestmark = [
    pytest.mark.deploy,
    # boto3 leaves its connections to the garbage collector
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]
TEMPLATE = ROOT / "deploy" / "aws.yaml"
JOB = ROOT / "deploy" / "glue_job.py"
ACCOUNT, REGION = "123456789012", "us-east-1"
ALL_ON = {
    "ImageTag": "0.1.0", "Email": "on-call@example.org", "Endpoint": "yes", "Beanstalk": "yes", "Warehouse": "yes",
    "Glue": "yes", "BeanstalkPlatform": "64bit Amazon Linux 2023 v4.7.0 running Docker",
    "Certificate": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0a1b2c3d",
}  # fmt: skip
ALWAYS_ON = ALL_ON | {"EndpointInstanceType": "ml.t2.medium"}
COSTS_WHILE_IDLE = {"SageMaker", "ElasticBeanstalk", "RedshiftServerless", "Glue", "SecretsManager"}
"""The services of which nothing is made unless it is asked for."""
Json = Any


# ---- the template, and what CloudFormation would make of it


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Json]:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def template() -> dict[str, Json]:
    return yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)  # noqa: S506


NAMES = {
    "AWS::S3::Bucket": "BucketName", "AWS::ECR::Repository": "RepositoryName", "AWS::IAM::Role": "RoleName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName", "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Events::Rule": "Name", "AWS::SageMaker::Endpoint": "EndpointName", "AWS::Glue::Job": "Name",
    "AWS::Scheduler::Schedule": "Name", "AWS::ElasticBeanstalk::Application": "ApplicationName",
    "AWS::ElasticBeanstalk::Environment": "EnvironmentName",
    "AWS::RedshiftServerless::Namespace": "NamespaceName", "AWS::RedshiftServerless::Workgroup": "WorkgroupName",
}  # fmt: skip
"""Type → the property that is what Ref gives of it."""
ARNS = {
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{}}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{}}-a1b2c3",
}
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::StackName": "vindima"}
NO_VALUE = object()


class Resolved:
    """The resources of a template that its conditions let be, with the properties that CloudFormation would give."""

    def __init__(self, source: dict[str, Json], given: dict[str, str]) -> None:
        self._source = source
        self._parameters = {}
        for name, about in source["Parameters"].items():
            value = given.get(name, about["Default"])
            self._parameters[name] = int(value) if about["Type"] == "Number" else value
        self.resources = {
            name: (one["Type"], self.value(one.get("Properties", {})))
            for name, one in source["Resources"].items()
            if "Condition" not in one or self.holds(one["Condition"])
        }

    def holds(self, condition: str) -> bool:
        return bool(self.value(self._source["Conditions"][condition]))

    def of(self, kind: str) -> list[dict[str, Json]]:
        """The properties of each resource of a type."""
        return [properties for of, properties in self.resources.values() if of == kind]

    def value(self, given: Json) -> Json:
        if isinstance(given, list):
            return [one for one in map(self.value, given) if one is not NO_VALUE]
        if not isinstance(given, dict):
            return given
        if len(given) == 1:
            [(name, argument)] = given.items()
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
            if name == "Ref" or name.startswith("Fn::"):
                return getattr(self, f"_{name.removeprefix('Fn::').lower()}")(argument)
        values = {name: self.value(one) for name, one in given.items()}
        return {name: one for name, one in values.items() if one is not NO_VALUE}

    def _ref(self, name: str) -> Json:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO or name in self._parameters:
            return (PSEUDO | self._parameters)[name]
        resource = self._source["Resources"][name]
        if resource["Type"] in ("AWS::SNS::Topic", "AWS::SecretsManager::Secret"):
            return self._getatt([name, "Arn"])
        return self.value(resource["Properties"].get(NAMES.get(resource["Type"], ""), name))

    def _getatt(self, argument: list[str]) -> str:
        name, attribute = argument
        resource = self._source["Resources"][name]
        if attribute == "Arn":
            called = {"AWS::SNS::Topic": "TopicName", "AWS::SecretsManager::Secret": "Name"}.get(resource["Type"])
            return ARNS[resource["Type"]].format(
                self.value(resource["Properties"][called]) if called else self._ref(name)
            )
        if attribute == "RepositoryUri":
            return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{self._ref(name)}"
        return f"{name}.{attribute}"

    def _sub(self, argument: Json) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})

        def word(found: re.Match[str]) -> str:
            name = found[1]
            if name in own:
                return str(self.value(own[name]))
            return str(self._getatt(name.split(".", 1)) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", word, text)

    def _if(self, argument: list[Json]) -> Json:
        return self.value(argument[1 if self.holds(argument[0]) else 2])

    def _join(self, argument: list[Json]) -> str:
        return argument[0].join(self.value(argument[1]))

    def _equals(self, argument: list[Json]) -> bool:
        one, other = self.value(argument)
        return one == other

    def _not(self, argument: list[Json]) -> bool:
        return not self.value(argument)[0]

    def _and(self, argument: list[Json]) -> bool:
        return all(self.value(argument))


# ---- what holds a resource of each type


class Aws:
    """The server that plays AWS, asked by boto3."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def __call__(self, service: str, **credentials: str) -> Any:
        keys = credentials or {"aws_access_key_id": "played", "aws_secret_access_key": "played"}
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint, config=config, **keys)

    def create(self, source: dict[str, Json], given: dict[str, str]) -> None:
        """The stack of a template, on a server without anything else."""
        requests.post(f"{self.endpoint}/moto-api/reset", timeout=10).raise_for_status()
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
        stacks = self("cloudformation")
        capabilities = ["CAPABILITY_NAMED_IAM"]
        resolved = Resolved(source, given)
        body = json.dumps(_without_what_is_skipped(source, resolved))
        stacks.create_stack(StackName="vindima", TemplateBody=body, Parameters=parameters, Capabilities=capabilities)
        [made] = stacks.describe_stacks(StackName="vindima")["Stacks"]
        assert made["StackStatus"] == "CREATE_COMPLETE"
        for role in resolved.of("AWS::IAM::Role"):
            for policy in role["Policies"]:  # those of a stack the server keeps in a form that it does not read
                kept = {"RoleName": role["RoleName"], "PolicyName": policy["PolicyName"]}
                self("iam").put_role_policy(**kept, PolicyDocument=json.dumps(policy["PolicyDocument"]))

    def as_role(self, role: str) -> dict[str, str]:
        """The keys of whoever takes a role."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        given = self("sts").assume_role(RoleArn=arn, RoleSessionName="tests")["Credentials"]
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Within, nobody may do what no policy says."""
        self._asked_of_all_after("0")
        try:
            yield
        finally:
            self._asked_of_all_after("inf")

    def _asked_of_all_after(self, calls: str) -> None:
        requests.post(f"{self.endpoint}/moto-api/reset-auth", data=calls, timeout=10).raise_for_status()


def _without_what_is_skipped(value: Json, resolved: Resolved) -> Json:
    """A template that refers to no resource which the server skips, for it cannot say what such a one is called."""
    if isinstance(value, list):
        return [_without_what_is_skipped(one, resolved) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() & {"Ref", "Fn::GetAtt"}:
        [argument] = value.values()
        name = argument if isinstance(argument, str) else argument[0]
        kind, _ = resolved.resources.get(name, ("", {}))
        return resolved.value(value) if kind in HELD.keys() - SEEN.keys() else value
    return {name: _without_what_is_skipped(one, resolved) for name, one in value.items()}


Properties = dict[str, Json]
Holds = Callable[[Aws, Properties, str], None]
"""A check of the server, the properties of a resource, and its physical name there."""


def _camel(value: Json) -> Json:
    """CloudFormation's names as the APIs have them that begin in small letters."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _camel(one) for name, one in value.items()}
    return value


def _bucket(aws: Aws, given: Properties, name: str) -> None:
    s3 = aws("s3")
    bucket = given["BucketName"]
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    # the server keeps none of what follows when it creates the stack
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=given["VersioningConfiguration"])
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    blocked = given["PublicAccessBlockConfiguration"]
    assert blocked
    assert all(blocked.values())
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocked)
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=given["OwnershipControls"])
    rules = [
        {name.replace("Id", "ID"): value for name, value in rule.items()} | {"Filter": {"Prefix": ""}}
        for rule in given["LifecycleConfiguration"]["Rules"]
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    [kept] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert kept["NoncurrentVersionExpiration"]["NoncurrentDays"] == 90


def _bucket_policy(aws: Aws, given: Properties, name: str) -> None:
    [statement] = given["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    aws("s3").put_bucket_policy(Bucket=given["Bucket"], Policy=json.dumps(given["PolicyDocument"]))
    found = json.loads(aws("s3").get_bucket_policy(Bucket=given["Bucket"])["Policy"])
    assert found == given["PolicyDocument"]


def _repository(aws: Aws, given: Properties, name: str) -> None:
    [found] = aws("ecr").describe_repositories(repositoryNames=[given["RepositoryName"]])["repositories"]
    assert found["repositoryName"] == given["RepositoryName"]
    scanning = _camel(given["ImageScanningConfiguration"])
    assert scanning == {"scanOnPush": True}
    aws("ecr").put_image_scanning_configuration(
        repositoryName=given["RepositoryName"], imageScanningConfiguration=scanning
    )
    text = given["LifecyclePolicy"]["LifecyclePolicyText"]
    aws("ecr").put_lifecycle_policy(repositoryName=given["RepositoryName"], lifecyclePolicyText=text)


def _role(aws: Aws, given: Properties, name: str) -> None:
    role = aws("iam").get_role(RoleName=given["RoleName"])["Role"]
    assert role["AssumeRolePolicyDocument"] == given["AssumeRolePolicyDocument"]
    for policy in given["Policies"]:
        kept = aws("iam").get_role_policy(RoleName=given["RoleName"], PolicyName=policy["PolicyName"])
        assert kept["PolicyDocument"] == policy["PolicyDocument"]


def _policy(aws: Aws, given: Properties, name: str) -> None:
    for role in given["Roles"]:
        # the server gives it a name of its own
        [kept] = set(aws("iam").list_role_policies(RoleName=role)["PolicyNames"]) - {"serve"}
        found = aws("iam").get_role_policy(RoleName=role, PolicyName=kept)["PolicyDocument"]
        assert [one["Sid"] for one in found["Statement"]] == [
            one["Sid"] for one in given["PolicyDocument"]["Statement"]
        ]


def _profile(aws: Aws, given: Properties, name: str) -> None:
    found = aws("iam").get_instance_profile(InstanceProfileName=given["InstanceProfileName"])["InstanceProfile"]
    assert [role["RoleName"] for role in found["Roles"]] == given["Roles"]


def _schedule(aws: Aws, given: Properties, name: str) -> None:
    aws("scheduler").create_schedule(**given)
    kept = aws("scheduler").get_schedule(Name=given["Name"])
    assert kept["FlexibleTimeWindow"] == {"Mode": "OFF"}
    job = started(kept["Target"]["Input"])
    aws("sagemaker").create_processing_job(**job)
    made = aws("sagemaker").describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
    assert made["AppSpecification"]["ContainerArguments"] == ["run"]


def _topic(aws: Aws, given: Properties, name: str) -> None:
    aws("sns").get_topic_attributes(TopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:{given['TopicName']}")


def _topic_policy(aws: Aws, given: Properties, name: str) -> None:
    for topic in given["Topics"]:
        text = json.dumps(given["PolicyDocument"])
        aws("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)
        kept = aws("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
        assert json.loads(kept) == given["PolicyDocument"]


def _subscription(aws: Aws, given: Properties, name: str) -> None:
    aws("sns").subscribe(**given)
    [kept] = aws("sns").list_subscriptions_by_topic(TopicArn=given["TopicArn"])["Subscriptions"]
    assert kept["Endpoint"] == given["Endpoint"]


def _rule(aws: Aws, given: Properties, name: str) -> None:
    found = aws("events").describe_rule(Name=given["Name"])
    assert json.loads(found["EventPattern"]) == given["EventPattern"]
    # the server keeps the addresses of targets alone
    aws("events").put_targets(Rule=given["Name"], Targets=given["Targets"])
    kept = aws("events").list_targets_by_rule(Rule=given["Name"])["Targets"]
    assert {one["Arn"] for one in kept} == {one["Arn"] for one in given["Targets"]}


def _log_group(aws: Aws, given: Properties, name: str) -> None:
    [found] = aws("logs").describe_log_groups(logGroupNamePrefix=given["LogGroupName"])["logGroups"]
    assert found["retentionInDays"] == given["RetentionInDays"]


def _log_policy(aws: Aws, given: Properties, name: str) -> None:
    found = {one["policyName"]: one for one in aws("logs").describe_resource_policies()["resourcePolicies"]}
    assert json.loads(found[given["PolicyName"]]["policyDocument"]) == json.loads(given["PolicyDocument"])


def _metric_filter(aws: Aws, given: Properties, name: str) -> None:
    aws("logs").put_metric_filter(**_camel(given))
    [kept] = aws("logs").describe_metric_filters(logGroupName=given["LogGroupName"])["metricFilters"]
    assert kept["filterPattern"] == given["FilterPattern"]


def _alarm(aws: Aws, given: Properties, name: str) -> None:
    aws("cloudwatch").put_metric_alarm(**given)
    [kept] = aws("cloudwatch").describe_alarms(AlarmNames=[given["AlarmName"]])["MetricAlarms"]
    assert kept["TreatMissingData"] == "breaching"
    assert kept["Period"] * kept["EvaluationPeriods"] <= 7 * 86400


def _model(aws: Aws, given: Properties, name: str) -> None:
    found = aws("sagemaker").describe_model(ModelName=name.rpartition("/")[2])
    assert found["PrimaryContainer"]["Environment"] == given["PrimaryContainer"]["Environment"]
    assert found["ExecutionRoleArn"] == given["ExecutionRoleArn"]


def _endpoint_config(aws: Aws, given: Properties, name: str) -> None:
    [model] = aws("sagemaker").list_models()["Models"]  # which the stack has named by itself
    variants = [one | {"ModelName": model["ModelName"]} for one in given["ProductionVariants"]]
    asked = given | {"ProductionVariants": variants, "EndpointConfigName": "asked-once-more"}
    aws("sagemaker").create_endpoint_config(**asked)
    for one in (name.rpartition("/")[2], "asked-once-more"):
        [variant] = aws("sagemaker").describe_endpoint_config(EndpointConfigName=one)["ProductionVariants"]
        assert variant.get("ServerlessConfig") == given["ProductionVariants"][0].get("ServerlessConfig")


def _endpoint(aws: Aws, given: Properties, name: str) -> None:
    made = aws("sagemaker").describe_endpoint(EndpointName=name.rpartition("/")[2])  # a name of the server's own
    aws("sagemaker").create_endpoint(**given | {"EndpointConfigName": made["EndpointConfigName"]})
    assert aws("sagemaker").describe_endpoint(EndpointName=given["EndpointName"])


def _secret(aws: Aws, given: Properties, name: str) -> None:
    assert "SecretString" not in given
    made = aws("secretsmanager").get_random_password(**given["GenerateSecretString"])["RandomPassword"]
    assert len(made.encode()) >= 32
    kept = {name: value for name, value in given.items() if name != "GenerateSecretString"}
    aws("secretsmanager").create_secret(**kept, SecretString=made)
    assert aws("secretsmanager").get_secret_value(SecretId=given["Name"])["SecretString"] == made


def _application(aws: Aws, given: Properties, name: str) -> None:
    aws("elasticbeanstalk").create_application(**given)


def _service(aws: Aws, given: Properties, name: str) -> None:
    aws("elasticbeanstalk").create_environment(**given)
    found = aws("elasticbeanstalk").describe_environments(EnvironmentNames=[given["EnvironmentName"]])
    [kept] = found["Environments"]
    assert kept["ApplicationName"] == given["ApplicationName"]
    set_to = {(one["Namespace"].split(":", 1)[1], one["OptionName"]): one["Value"] for one in given["OptionSettings"]}
    assert set_to["elbv2:listener:default", "ListenerEnabled"] == "false"
    assert set_to["elbv2:listener:443", "Protocol"] == "HTTPS"
    secrets = {name for (_, name), value in set_to.items() if value.startswith("arn:aws:secretsmanager:")}
    assert secrets == {"VINDIMA_JWT_SECRET"}


def _glue_job(aws: Aws, given: Properties, name: str) -> None:
    aws("glue").create_job(**given)
    kept = aws("glue").get_job(JobName=given["Name"])["Job"]
    assert {"Name": "glueetl", "ScriptLocation": given["Command"]["ScriptLocation"]}.items() <= kept[
        "Command"
    ].items()
    assert kept["DefaultArguments"] == given["DefaultArguments"]


def fits(service: str, operation: str, request: Json) -> None:
    """Raise AssertionError unless botocore's description of a call takes the request, patterns of texts among it."""
    shape = boto3.client(service, region_name=REGION).meta.service_model.operation_model(operation).input_shape
    found = ParamValidator().validate(request, shape)
    assert not found.has_errors(), found.generate_report()
    _match(request, shape, operation)


def _match(value: Json, shape: Any, place: str) -> None:
    if shape.type_name == "structure":
        for name, one in value.items():
            _match(one, shape.members[name], f"{place}.{name}")
    elif shape.type_name == "list":
        for one in value:
            _match(one, shape.member, place)
    elif shape.type_name == "map":
        for name, one in value.items():
            _match(name, shape.key, place)
            _match(one, shape.value, f"{place}.{name}")
    elif pattern := shape.metadata.get("pattern"):
        assert re.fullmatch(pattern.replace(r"\p{L}", r"\w"), value), f"{place}: {value!r} is not of {pattern}"


def _described(service: str, operation: str, names: Callable[[Json], Json] = lambda given: given) -> Holds:
    return lambda aws, given, name: fits(service, operation, names(given))


SEEN: dict[str, Holds] = {
    "AWS::S3::Bucket": _bucket,
    "AWS::ECR::Repository": _repository,
    "AWS::IAM::Role": _role,
    "AWS::IAM::Policy": _policy,
    "AWS::IAM::InstanceProfile": _profile,
    "AWS::SNS::Topic": _topic,
    "AWS::Events::Rule": _rule,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::Logs::ResourcePolicy": _log_policy,
    "AWS::SageMaker::Model": _model,
    "AWS::SageMaker::EndpointConfig": _endpoint_config,
    "AWS::SageMaker::Endpoint": _endpoint,
}
"""Type that the server makes when it creates a stack → what sees it there."""
ASKED_FOR: dict[str, Holds] = {
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::Logs::MetricFilter": _metric_filter,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::ElasticBeanstalk::Application": _application,
    "AWS::ElasticBeanstalk::Environment": _service,
    "AWS::Glue::Job": _glue_job,
}
"""Type that it skips, though it has the service → what asks for it by the API."""
DESCRIBED: dict[str, Holds] = {
    "AWS::ElasticBeanstalk::ApplicationVersion": _described(
        "elasticbeanstalk", "CreateApplicationVersion", lambda given: given | {"VersionLabel": "0.1.0"}
    ),
    "AWS::RedshiftServerless::Namespace": _described("redshift-serverless", "CreateNamespace", _camel),
    "AWS::RedshiftServerless::Workgroup": _described("redshift-serverless", "CreateWorkgroup", _camel),
}
"""Type of no service that it has → what holds the call that makes one against its description."""
HELD = SEEN | ASKED_FOR | DESCRIBED


def hold(aws: Aws, source: dict[str, Json], given: dict[str, str]) -> set[str]:
    """Create the stack and hold each of its resources: their types."""
    resolved = Resolved(source, given)
    unknown = {kind for kind, _ in resolved.resources.values()} - HELD.keys()
    assert not unknown, f"nothing holds {', '.join(sorted(unknown))}"
    aws.create(source, given)
    listed = aws("cloudformation").describe_stack_resources(StackName="vindima")["StackResources"]
    names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed if "LogicalResourceId" in one}
    assert names.keys() == {name for name, (kind, _) in resolved.resources.items() if kind in SEEN}
    for name, (kind, properties) in resolved.resources.items():
        HELD[kind](aws, properties, names.get(name, ""))
    return {kind for kind, _ in resolved.resources.values()}


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    program = environment("clouds") / "bin" / "moto_server"
    with serving(str(program), ["-H", "127.0.0.1", "-p"], tmp_path_factory.mktemp("aws")) as endpoint:
        yield Aws(endpoint)
    gc.collect()


@pytest.mark.parametrize("given", [{}, ALL_ON, ALWAYS_ON], ids=["off", "on", "endpoint always on"])
def test_each_resource_of_the_template_is_what_its_service_takes(aws: Aws, given: dict[str, str]):
    kinds = hold(aws, template(), given)
    if given:
        assert kinds == HELD.keys()
    else:
        assert not {kind.split("::")[1] for kind in kinds} & COSTS_WHILE_IDLE


@pytest.mark.parametrize("kind", ["AWS::Foo::Bar", "AWS::SQS::Queue"])
def test_resource_that_nothing_holds_is_found(aws: Aws, kind: str):
    source = template()
    source["Resources"]["Another"] = {"Type": kind, "Properties": {}}
    with pytest.raises(AssertionError, match=kind):
        hold(aws, source, {})


@pytest.mark.parametrize(
    ("resource", "written", "mistyped"),
    [
        ("Run", "ScheduleExpression", "SheduleExpression"),
        ("StaleModel", "TreatMissingData", "TreatsMissingData"),
        ("WarehouseWorkgroup", "BaseCapacity", "BasisCapacity"),
        ("GlueJob", "WorkerType", "WorkersType"),
    ],
)
def test_property_that_its_service_does_not_know_is_found(aws: Aws, resource: str, written: str, mistyped: str):
    source = template()
    properties = source["Resources"][resource]["Properties"]
    properties[mistyped] = properties.pop(written)
    with pytest.raises(Exception, match=re.compile(mistyped, re.I)):
        hold(aws, source, ALL_ON)


def test_nothing_runs_before_there_is_an_image():
    [before] = Resolved(template(), {}).of("AWS::Scheduler::Schedule")
    [after] = Resolved(template(), ALL_ON).of("AWS::Scheduler::Schedule")
    assert (before["State"], after["State"]) == ("DISABLED", "ENABLED")
    assert "AWS::SageMaker::Endpoint" not in {
        kind for kind, _ in Resolved(template(), {"Endpoint": "yes"}).resources.values()
    }


def test_commands_of_the_readme_name_what_there_is():
    said = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8").partition("## On AWS")[2].partition("\n## ")[0]
    deployed = [line for line in said.splitlines() if line.startswith("$ deploy ")]
    assert len(deployed) >= 5
    for line in deployed:
        named = re.findall(r"\b([A-Z][A-Za-z]+)=", line.partition("&&")[0])
        assert named
        assert set(named) <= template()["Parameters"].keys()
    asked_for = set(re.findall(r"\(output ([A-Za-z]+)\)", said))
    assert len(asked_for) >= 5
    assert asked_for <= template()["Outputs"].keys()
    [bundle] = re.findall(r"printf '(\{.+\})'", said)
    assert json.loads(bundle)["Ports"] == [{"ContainerPort": 8000}]
    [version] = Resolved(template(), ALL_ON).of("AWS::ElasticBeanstalk::ApplicationVersion")
    assert version["SourceBundle"]["S3Key"] == "beanstalk/0.1.0/Dockerrun.aws.json"
    assert 's3://$bucket/beanstalk/$tag/Dockerrun.aws.json"' in said


# ---- the run


def started(text: str) -> dict[str, Json]:
    """The call that the schedule makes; its keyword is replaced as EventBridge Scheduler does."""
    return json.loads(text.replace("<aws.scheduler.execution-id>", "d32c5kddcf5bb8c3"))


def job() -> dict[str, Json]:
    [schedule] = Resolved(template(), ALL_ON).of("AWS::Scheduler::Schedule")
    service, operation = schedule["Target"]["Arn"].removeprefix("arn:aws:scheduler:::aws-sdk:").split(":")
    assert (service, operation) == ("sagemaker", "createProcessingJob")
    assert "<aws.scheduler.execution-id>" in json.loads(schedule["Target"]["Input"])["ProcessingJobName"]
    return started(schedule["Target"]["Input"])


def test_schedule_starts_a_job_that_sagemaker_takes():
    fits("sagemaker", "CreateProcessingJob", job())
    assert job()["Environment"] == {
        "VINDIMA_STORAGE": f"s3://vindima-{ACCOUNT}-{REGION}/vindima",
        "VINDIMA_SOURCE": "live",
    }
    assert job()["AppSpecification"]["ImageUri"].endswith("/vindima:0.1.0")


@pytest.mark.parametrize(
    ("place", "written", "mistyped", "said"),
    [
        ((), "StoppingCondition", "StopingCondition", "StopingCondition"),
        ((), "ProcessingJobName", "processingJobName", "processingJobName"),
        (("ProcessingResources", "ClusterConfig"), "VolumeSizeInGB", "VolumeSizeInGb", "VolumeSizeInGb"),
    ],
)
def test_member_of_the_job_that_is_mistyped_is_found(place: tuple[str, ...], written: str, mistyped: str, said: str):
    request = job()
    part = functools.reduce(lambda inside, name: inside[name], place, request)
    part[mistyped] = part.pop(written)
    with pytest.raises(AssertionError, match=said):
        fits("sagemaker", "CreateProcessingJob", request)


def test_name_of_a_job_that_sagemaker_would_refuse_is_found():
    with pytest.raises(AssertionError, match="ProcessingJobName"):
        fits(
            "sagemaker", "CreateProcessingJob", job() | {"ProcessingJobName": "vindima-<aws.scheduler.execution-id>"}
        )


def test_runs_that_end_are_told_by_the_rules_and_counted_by_the_filter():
    """Events as SageMaker's manual has them, against the patterns."""
    resolved = Resolved(template(), ALL_ON)
    patterns = {one["Name"]: one["EventPattern"] for one in resolved.of("AWS::Events::Rule")}
    for status, told in {"Completed": False, "Failed": True, "Stopped": True}.items():
        event = {
            "id": "1", "account": ACCOUNT, "time": "2026-11-30T08:17:00Z", "region": REGION, "resources": [],
            "source": "aws.sagemaker", "detail-type": "SageMaker Processing Job State Change",
            "detail": {"ProcessingJobName": "vindima-d32c5kddcf5bb8c3", "ProcessingJobStatus": status},
        }  # fmt: skip
        assert matches(event, patterns["vindima-run-ended"])
        assert matches(event, patterns["vindima-run-failed"]) == told
        event["detail"]["ProcessingJobName"] = "another-job"
        assert not matches(event, patterns["vindima-run-ended"])
    [counted] = resolved.of("AWS::Logs::MetricFilter")
    [alarm] = resolved.of("AWS::CloudWatch::Alarm")
    [metric] = counted["MetricTransformations"]
    assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 7 * 86400


def matches(event: Json, pattern: Json) -> bool:
    """Whether an event is of a pattern, as far as ours go: words, prefixes, and what is within."""
    for name, wanted in pattern.items():
        value = event[name]
        if isinstance(wanted, dict):
            if not matches(value, wanted):
                return False
        elif not any(value.startswith(one["prefix"]) if isinstance(one, dict) else value == one for one in wanted):
            return False
    return True


# ---- the linter


def linted(path: Path) -> tuple[int, list[Json]]:
    program = environment("clouds") / "bin" / "cfn-lint"
    ended = subprocess.run([program, "--format", "json", path], capture_output=True, text=True, check=False)
    return ended.returncode, json.loads(ended.stdout)


def test_linter_finds_no_fault_in_the_template():
    assert linted(TEMPLATE) == (0, [])


@pytest.mark.parametrize(
    ("written", "mistyped"),
    [
        ("BucketEncryption:", "BucketEncyption:"),
        ("TreatMissingData: breaching", "TreatMissingData: breeching"),
        ("!GetAtt RunnerRole.Arn", "!GetAtt RunersRole.Arn"),
    ],
)
def test_linter_finds_what_is_mistyped(tmp_path: Path, written: str, mistyped: str):
    text = TEMPLATE.read_text(encoding="utf-8")
    assert written in text
    wrong = tmp_path / "aws.yaml"
    wrong.write_text(text.replace(written, mistyped, 1), encoding="utf-8")
    code, found = linted(wrong)
    assert code != 0
    assert mistyped.split()[-1].split(".")[0].strip(":") in json.dumps(found)


# ---- who may do what

READ_POLICIES = """
import json, sys, warnings
warnings.simplefilter("ignore")
import parliament
for text in json.load(sys.stdin):
    policy = parliament.analyze_policy_string(text)
    for one in map(parliament.enhance_finding, policy.findings):
        print(json.dumps([one.issue, one.severity, str(one.detail), str(one.location)]))
"""


def findings(policies: list[Json]) -> list[list[str]]:
    """Issue, severity, detail and place of what parliament finds in policies."""
    texts = json.dumps([json.dumps(one) for one in policies])
    command = [environment("clouds") / "bin" / "python", "-c", READ_POLICIES]
    said = subprocess.run(command, input=texts, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def policies(value: Json) -> Iterator[Json]:
    """Every policy within properties, also one that is written as text."""
    if isinstance(value, str) and value.startswith('{"Version"'):
        value = json.loads(value)
    if isinstance(value, dict) and "Statement" in value:
        # the resource of a policy that says who may take a role is the role
        said = [{"Resource": f"arn:aws:iam::{ACCOUNT}:role/any"} | one for one in value["Statement"]]
        yield value | {"Statement": said}
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from policies(one)


def of_the_template() -> list[Json]:
    return [one for _, given in Resolved(template(), ALL_ON).resources.values() for one in policies(given)]


def test_policies_have_no_fault_that_a_reader_finds():
    read = of_the_template()
    assert len(read) >= 13
    assert findings(read) == []


@pytest.mark.parametrize("mistyped", ["s3:GetObjekt", "sagemaker:CreateProcessingJobs"])
def test_action_that_is_mistyped_is_found(mistyped: str):
    wrong = copy.deepcopy(of_the_template())
    wrong[1]["Statement"][0]["Action"] = mistyped
    assert [found[0] for found in findings(wrong)] == ["UNKNOWN_ACTION"]


def test_no_policy_allows_all_actions_of_a_kind_nor_all_resources_where_fewer_will_do():
    knows_no_resource = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
    for policy in of_the_template():
        for one in policy["Statement"]:
            actions = {one["Action"]} if isinstance(one["Action"], str) else set(one["Action"])
            if one["Effect"] == "Allow":
                assert not [action for action in actions if "*" in action]
                assert one.get("Resource") != "*" or actions <= knows_no_resource


def test_scheduler_may_start_this_job_as_the_runner_and_nothing_else():
    [role] = [one for one in Resolved(template(), {}).of("AWS::IAM::Role") if one["RoleName"] == "vindima-scheduler"]
    [policy] = role["Policies"]
    start, as_whom = policy["PolicyDocument"]["Statement"]
    assert start["Action"] == "sagemaker:CreateProcessingJob"
    named = start["Resource"].removesuffix("*")
    assert f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/{job()['ProcessingJobName']}".startswith(named)
    assert (as_whom["Action"], as_whom["Resource"]) == ("iam:PassRole", job()["RoleArn"])


def denied(call: Callable[..., Any], **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return True
    return False


def test_runner_writes_under_its_prefix_alone_and_the_reader_writes_nowhere(aws: Aws):
    aws.create(template(), {})
    bucket = f"vindima-{ACCOUNT}-{REGION}"
    for key in ("other/a", "vindima/users.sqlite"):
        aws("s3").put_object(Bucket=bucket, Key=key, Body=b"a")
    names = ("runner", "reader", "service")
    runner, reader, service = (aws("s3", **aws.as_role(f"vindima-{name}")) for name in names)
    with aws.enforcing():
        assert not denied(runner.put_object, Bucket=bucket, Key="vindima/a", Body=b"a")
        assert not denied(runner.get_object, Bucket=bucket, Key="vindima/a")
        assert denied(runner.put_object, Bucket=bucket, Key="other/b", Body=b"b")
        assert denied(runner.put_object, Bucket=bucket, Key="vindima-other/b", Body=b"b")
        assert denied(runner.get_object, Bucket=bucket, Key="other/a")
        assert denied(runner.delete_bucket, Bucket=bucket)
        assert not denied(reader.get_object, Bucket=bucket, Key="vindima/a")
        assert denied(reader.get_object, Bucket=bucket, Key="other/a")
        assert denied(reader.put_object, Bucket=bucket, Key="vindima/b", Body=b"b")
        assert denied(reader.delete_object, Bucket=bucket, Key="vindima/a")
        for client in (runner, reader):
            assert denied(client.get_object, Bucket=bucket, Key="vindima/users.sqlite")
        assert denied(runner.put_object, Bucket=bucket, Key="vindima/users.sqlite", Body=b"a")
        assert not denied(service.get_object, Bucket=bucket, Key="vindima/users.sqlite")


def test_what_the_runner_may_is_enough_for_what_keeps_lake_and_storage(aws: Aws):
    aws.create(template(), {})
    keys = aws.as_role("vindima-runner")
    names = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "aws_session_token": "token"}
    files = fsspec.filesystem(
        "s3", endpoint_url=aws.endpoint, skip_instance_cache=True, **{names[name]: key for name, key in keys.items()}
    )
    folder = f"vindima-{ACCOUNT}-{REGION}/vindima/lake"
    with aws.enforcing():
        files.makedirs(folder, exist_ok=True)
        files.pipe(f"{folder}/a", b"a" * 6_000_000)
        files.copy(f"{folder}/a", f"{folder}/b")
        files.rm_file(f"{folder}/a")  # the server, unlike AWS, asks more of a deletion of many at once
        assert files.cat(f"{folder}/b") == b"a" * 6_000_000
        assert [Path(name).name for name in files.find(folder)] == ["b"]
        assert files.exists(f"{folder}/b")
        assert not files.exists(f"{folder}/a")


# ---- the job of Spark


def test_modules_of_the_job_are_of_the_versions_of_the_lock():
    [job_of_glue] = Resolved(template(), ALL_ON).of("AWS::Glue::Job")
    wheel, *modules = job_of_glue["DefaultArguments"]["--additional-python-modules"].split(",")
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version
    assert wheel.endswith(f"/glue/vindima-{version[1]}-py3-none-any.whl")
    locked = set(re.findall(r"^[a-z0-9-]+==[^ ;]+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M))
    assert set(modules) <= locked
    assert len(modules) > 15


def test_job_of_glue_gives_what_duckdb_gives(tmp_path: Path):
    if find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed (`make test-deploy` brings it)")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed (package openjdk-17-jre-headless)")
    (tmp_path / "in").mkdir()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(f"{CONF}spark.master local[2]\nspark.ui.enabled false\n")
    table = lines(tmp_path / "in")
    expected = microdata.run([table], tmp_path / "duckdb")
    given = ["--JOB_NAME", "vindima-microdata", "--JOB_ID", "j_1"]  # which Glue adds
    ours = ["--input", (tmp_path / "in").as_uri(), "--output", (tmp_path / "out").as_uri()]
    settings = {"SPARK_CONF_DIR": str(tmp_path / "conf"), "SPARK_LOCAL_IP": "127.0.0.1"}
    ended = subprocess.run(
        [sys.executable, JOB, *given, *ours], env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert microdata.summary(expected["monthly"]) in ended.stdout
    for contract in (schemas.MONTHLY, schemas.YEARLY):
        made = schemas.read(tmp_path / "out" / f"{contract.name}.parquet")
        pd.testing.assert_frame_equal(made, expected[contract.name], rtol=1e-9, atol=0)


def test_job_of_glue_imports_nothing_of_glue():
    compile(JOB.read_text(encoding="utf-8"), JOB, "exec")
    assert "awsglue" not in JOB.read_text(encoding="utf-8")
