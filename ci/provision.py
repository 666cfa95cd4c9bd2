#!/usr/bin/env python3
"""Makes queues in LocalStack (SQS) and a job definition in moto (Batch), for tests/it and worker/test.

Running it again changes nothing. The system as operators make it is what `ci/e2e` runs on.

Run with the Python of moto's virtual environment, which has boto3. Prints a JSON object with
`queue_url`, `dead_letter_url`, `job_queue_arn` and `job_definition_arn`.
"""

import argparse
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sqs-endpoint", required=True, metavar="URL", help="LocalStack")
    parser.add_argument("--batch-endpoint", required=True, metavar="URL", help="moto")
    parser.add_argument("--name", required=True, metavar="PREFIX", help="of everything's name")
    parser.add_argument("--image", required=True, metavar="NAME", help="of the job's container")
    parser.add_argument("--max-receive-count", type=int, default=10, metavar="N",
                        help="a message received so often goes to the dead letters (default: 10)")
    parser.add_argument("--visibility", type=int, default=60, metavar="SECONDS",
                        help="how long a received message is hidden (default: 60)")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB", help="of the container (default: 512)")
    parser.add_argument("--environment", type=json.loads, default={}, metavar="JSON",
                        help="object with the environment of the job's container")
    parser.add_argument("--region", default="us-east-1", help="(default: us-east-1)")
    return parser.parse_args()


def queue(sqs, name, attributes):
    """The queue's URL and ARN; attributes of one that exists are brought up to date."""
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def queues(client, args):
    sqs = client("sqs", args.sqs_endpoint)
    dead_url, dead_arn = queue(sqs, f"{args.name}-dead", {"MessageRetentionPeriod": "1209600"})
    jobs_url, _ = queue(sqs, f"{args.name}-jobs", {
        "VisibilityTimeout": str(args.visibility),
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": args.max_receive_count}),
    })
    return jobs_url, dead_url


def role(iam, name, service):
    """The role's ARN."""
    try:
        return iam.get_role(RoleName=name)["Role"]["Arn"]
    except iam.exceptions.NoSuchEntityException:
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]


def instance_profile(iam, name, role_name):
    """The instance profile's ARN."""
    try:
        return iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    except iam.exceptions.NoSuchEntityException:
        arn = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role_name)
        return arn


def network(ec2, name):
    """The ids of a subnet and of a security group."""
    named = [{"Name": "tag:Name", "Values": [name]}]

    def tags(kind):
        return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]

    vpcs = ec2.describe_vpcs(Filters=named)["Vpcs"]
    vpc = (vpcs[0] if vpcs else ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags("vpc"))["Vpc"])["VpcId"]
    subnets = ec2.describe_subnets(Filters=named)["Subnets"]
    subnet = subnets[0] if subnets else ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.0.0/20", TagSpecifications=tags("subnet"))["Subnet"]
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    group = groups[0] if groups else ec2.create_security_group(
        VpcId=vpc, GroupName=name, Description="The processor's instances")
    return subnet["SubnetId"], group["GroupId"]


def compute_environment(batch, name, service_role, profile, subnet, group):
    """The compute environment's ARN."""
    found = batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    if found:
        return found[0]["computeEnvironmentArn"]
    return batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", state="ENABLED", serviceRole=service_role,
        computeResources={
            "type": "EC2", "minvCpus": 0, "maxvCpus": 100, "desiredvCpus": 0, "instanceTypes": ["c5.large"],
            "subnets": [subnet], "securityGroupIds": [group], "instanceRole": profile,
        })["computeEnvironmentArn"]


def job_queue(batch, name, environment):
    """The job queue's ARN."""
    found = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    if found:
        return found[0]["jobQueueArn"]
    return batch.create_job_queue(
        jobQueueName=name, state="ENABLED", priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}])["jobQueueArn"]


# Exit codes 75 and 143 are worth another attempt (`src/exit_code.rs`), and so is what the kernel kills
# (137, for want of memory) or what aborts for the first time (134): its message comes back and needs a container.
# Without the last rule anything that matches none would be retried.
RETRY = {"attempts": 3, "evaluateOnExit": [
    {"onStatusReason": "Host EC2*", "action": "retry"},
    {"onExitCode": "75", "action": "retry"},
    {"onExitCode": "13*", "action": "retry"},
    {"onExitCode": "143", "action": "retry"},
    {"onReason": "*", "action": "exit"},
]}


def job_definition(batch, args):
    """The ARN of the job definition's revision that says just this."""
    container = {
        "image": args.image,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": str(args.memory)}],
        # moto drops those without a value, which then never equal what is there.
        "environment": [{"name": name, "value": value if isinstance(value, str) else json.dumps(value)}
                        for name, value in sorted(args.environment.items()) if value != ""],
    }
    for found in batch.describe_job_definitions(jobDefinitionName=args.name, status="ACTIVE")["jobDefinitions"]:
        there = found["containerProperties"]
        if all(there.get(key) == value for key, value in container.items()) and found["retryStrategy"] == RETRY:
            return found["jobDefinitionArn"]
    return batch.register_job_definition(
        jobDefinitionName=args.name, type="container", containerProperties=container,
        retryStrategy=RETRY)["jobDefinitionArn"]


def main():
    args = arguments()
    if not isinstance(args.environment, dict):
        sys.exit("provision: --environment must be a JSON object")

    def client(service, endpoint):
        # Both take any credentials.
        return boto3.client(service, endpoint_url=endpoint, region_name=args.region, aws_access_key_id="test",
                            aws_secret_access_key="test", config=Config(retries={"max_attempts": 2}))

    queue_url, dead_letter_url = queues(client, args)
    iam, ec2, batch = (client(service, args.batch_endpoint) for service in ("iam", "ec2", "batch"))
    service_role = role(iam, f"{args.name}-batch", "batch.amazonaws.com")
    role(iam, f"{args.name}-instance", "ec2.amazonaws.com")
    profile = instance_profile(iam, f"{args.name}-instance", f"{args.name}-instance")
    environment = compute_environment(batch, args.name, service_role, profile, *network(ec2, args.name))
    json.dump({
        "queue_url": queue_url,
        "dead_letter_url": dead_letter_url,
        "job_queue_arn": job_queue(batch, args.name, environment),
        "job_definition_arn": job_definition(batch, args),
    }, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    try:
        main()
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"provision: {error}")
