#!/usr/bin/env python3
"""What ci/e2e asks of the services and tells them: `cloud.py VERB ARGUMENT…`, a verb for each function below.

Run with $TEST_PYTHON, which has boto3, and the environment of `ci/services env`.
"""

import json
import os
import sys
import time

import boto3
from botocore.config import Config

CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
STATUSES = ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]


# Of both services: the account's number (`ci/terraform-files/local`).
ACCOUNT = "123456789012"
# In the environment of job definitions that `configure` made.
MARK = {"name": "CONFIGURED_BY", "value": "e2e"}


def client(service, endpoint, key=ACCOUNT, secret="test", **more):
    return boto3.client(service, endpoint_url=os.environ[endpoint], region_name="us-east-1", aws_access_key_id=key,
                        aws_secret_access_key=secret, config=CONFIG, **more)


def sqs():
    return client("sqs", "TEST_LOCALSTACK")


def batch():
    return client("batch", "TEST_MOTO")


def store():
    return client("s3", "TEST_MINIO_TLS", os.environ["TEST_STORE_ACCESS_KEY"], os.environ["TEST_STORE_SECRET_KEY"],
                  verify=os.environ["TEST_CA"])


def until(seconds, what, ask):
    """The first answer of `ask` that is something, and after how many seconds; gives up in time."""
    start = time.time()
    while time.time() - start < float(seconds):
        if answer := ask():
            return answer, time.time() - start
        time.sleep(0.1)
    sys.exit(f"after {seconds} s still not: {what}")


def make_bucket(bucket):
    store().create_bucket(Bucket=bucket)


def objects(bucket, prefix):
    """Keys that begin so."""
    for page in store().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            print(found["Key"])


def uploads(bucket, key, seconds="0"):
    """How many multipart uploads are open, waiting so long for one. MinIO tells only of a whole key."""
    s3 = store()

    def ask():
        return len(s3.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", []))

    print(until(seconds, f"an open upload of {key}", ask)[0] if float(seconds) else ask())


def send(url, body):
    """Sends a message; prints when."""
    queue = sqs()
    queue.get_queue_attributes(QueueUrl=url)  # so that the time is not that of connecting
    now = time.time()
    queue.send_message(QueueUrl=url, MessageBody=body)
    print(f"{now:.4f}")


def depth(url):
    """How many messages can be received, and how many are hidden."""
    print(*counts(sqs(), url))


def counts(queue, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return [int(attributes[name]) for name in names]


def await_depth(url, visible, hidden, seconds):
    """Waits until so many messages can be received and are hidden; prints how long that took."""
    queue, wanted = sqs(), [int(visible), int(hidden)]
    print(f"{until(seconds, f'{wanted} messages', lambda: counts(queue, url) == wanted)[1]:.1f}")


def peek(url):
    """The messages with their attributes, which stay."""
    got = sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=1,
                                MessageAttributeNames=["All"])
    json.dump([{"body": message["Body"],
                **{name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}}
               for message in got.get("Messages", [])], sys.stdout)


def purge(*urls):
    """Takes everything out of these queues, and satisfies whoever still waits at them.

    A container that was killed in a long poll left it behind: it would swallow the next scenario's first message.
    """
    queue = sqs()
    for url in urls:
        queue.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "to nobody"} for n in range(10)])
    time.sleep(0.5)
    for url in urls:
        queue.purge_queue(QueueUrl=url)


def register_idle(name):
    """A job definition whose containers never start; prints its name."""
    batch().register_job_definition(jobDefinitionName=name, type="container", containerProperties={
        "image": "there-is-none", "command": [], "vcpus": 1, "memory": 64})
    print(name)


def configure(definition, environment):
    """Registers a revision that is Terraform's latest with these variables (JSON) besides, as quickly as a scenario
    wants it. Only the latest of ours stays active."""
    asked = batch()
    known = sorted(active(asked, definition), key=lambda one: one["revision"])
    # Marked by a variable, because moto's revisions inherit parameters and tags.
    ours = [one for one in known if MARK in one["containerProperties"]["environment"]]
    [*_, latest] = [one for one in known if one not in ours]
    container = latest["containerProperties"]
    wanted = {pair["name"]: pair["value"] for pair in container["environment"]} | json.loads(environment)
    container["environment"] = [MARK, *({"name": name, "value": value} for name, value in wanted.items())]
    same = {key: latest[key] for key in ("type", "retryStrategy", "timeout", "platformCapabilities") if latest.get(key)}
    asked.register_job_definition(jobDefinitionName=definition, containerProperties=container, **same)
    for one in ours:
        asked.deregister_job_definition(jobDefinition=one["jobDefinitionArn"])


def active(asked, definition):
    return asked.describe_job_definitions(jobDefinitionName=definition, status="ACTIVE")["jobDefinitions"]


def as_ecs_runs_it(definition):
    """Arguments of `docker run`, a line each, for what the job definition says and moto ignores.

    Secrets are looked up as the ECS agent does it.
    """
    found = max(active(batch(), definition), key=lambda one: one["revision"])
    container, secrets = found["containerProperties"], client("secretsmanager", "TEST_MOTO")
    environment = {pair["name"]: pair["value"] for pair in container["environment"]}
    for pair in container["secrets"]:
        environment[pair["name"]] = secrets.get_secret_value(SecretId=pair["valueFrom"])["SecretString"]
    volumes = {volume["name"]: volume["host"]["sourcePath"] for volume in container["volumes"]}
    print(f"--user={container['user']}")
    print(f"--read-only={str(container['readonlyRootFilesystem']).lower()}")
    for mount in container["mountPoints"]:
        print(f"--volume={volumes[mount['sourceVolume']]}:{mount['containerPath']}")
    for name, value in environment.items():
        print(f"--env={name}={value}")
    print(container["image"])


def allowed(policy):
    """The actions that a policy allows, a line each, sorted."""
    iam = client("iam", "TEST_MOTO")
    [found] = [one for one in iam.list_policies(Scope="Local", MaxItems=1000)["Policies"] if one["PolicyName"] == policy]
    version = iam.get_policy_version(PolicyArn=found["Arn"], VersionId=found["DefaultVersionId"])["PolicyVersion"]
    actions = [statement["Action"] for statement in version["Document"]["Statement"]]
    print(*sorted({name for some in actions for name in ([some] if isinstance(some, str) else some)}), sep="\n")


def submit_job(name, job_queue, definition):
    """SubmitJob without any overrides, as `aws batch submit-job` does it; prints the job's id."""
    print(batch().submit_job(jobName=name, jobQueue=job_queue, jobDefinition=definition)["jobId"])


def all_jobs(job_queue, since="0", statuses=STATUSES):
    asked = batch()
    for status in statuses:
        for page in asked.get_paginator("list_jobs").paginate(jobQueue=job_queue, jobStatus=status):
            yield from (job for job in page["jobSummaryList"] if job["createdAt"] >= float(since) * 1000)


def settle(job_queue):
    """Ends all containers."""
    asked = batch()

    def none_left():
        left = list(all_jobs(job_queue, statuses=STATUSES[:-2]))
        for job in left:
            asked.terminate_job(jobId=job["jobId"], reason="the next scenario")
        return not left

    until(30, "all Batch jobs ended", none_left)


def jobs(job_queue, since):
    """A line for each Batch job that was submitted since (seconds of the epoch): id, status, exit code."""
    for job in all_jobs(job_queue, since):
        print(job["jobId"], job["status"], job.get("container", {}).get("exitCode", "-"))


def await_job(job_id, seconds):
    """Waits until a Batch job has ended; prints its status and exit code."""
    asked = batch()

    def ask():
        job = asked.describe_jobs(jobs=[job_id])["jobs"][0]
        return job if job["status"] in ("SUCCEEDED", "FAILED") else None

    job, _ = until(seconds, f"the end of {job_id}", ask)
    [code] = [found.get("container", {}).get("exitCode", "-") for found in all_jobs(job["jobQueue"])
              if found["jobId"] == job_id]
    print(job["status"], code)


def logs(job_queue, since):
    """What the containers said that were submitted since, and have ended."""
    asked, said = batch(), client("logs", "TEST_MOTO")
    for found in all_jobs(job_queue, since):
        job = asked.describe_jobs(jobs=[found["jobId"]])["jobs"][0]
        print("==", job["jobName"], job["jobId"], job["status"])
        if stream := job["container"].get("logStreamName"):
            for page in said.get_paginator("filter_log_events").paginate(
                    logGroupName="/aws/batch/job", logStreamNames=[stream]):
                for event in page["events"]:
                    print(event["message"])


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
