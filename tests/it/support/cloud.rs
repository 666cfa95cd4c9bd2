//! A queue at LocalStack and a job queue at moto, of the test's own; `ci/provision.py` makes them.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Running;
use super::stores::service;

/// What the settings name.
pub(crate) struct Cloud {
    pub(crate) queue_url: String,
    pub(crate) job_queue: String,
    pub(crate) job_definition: String,
}

impl Cloud {
    /// Messages become dead letters when they are received more often than that.
    pub(crate) fn start(max_receive_count: u32) -> Self {
        let name = format!("test-{:016x}", rand::random::<u64>());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/provision.py");
        let output = Command::new(service("TEST_PYTHON"))
            .arg(script)
            .args(["--sqs-endpoint", &service("TEST_LOCALSTACK")])
            .args(["--batch-endpoint", &service("TEST_MOTO")])
            // Containers of this image end at once, because there is none.
            .args(["--name", &name, "--image", "there-is-none"])
            .args(["--max-receive-count", &max_receive_count.to_string()])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        Self {
            queue_url: text("queue_url"),
            job_queue: text("job_queue_arn"),
            job_definition: text("job_definition_arn"),
        }
    }

    /// The environment that the programs need to use it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("BATCH_AWS_REGION", "us-east-1".to_owned()),
            ("BATCH_AWS_ACCESS_KEY", "test".to_owned()),
            ("BATCH_AWS_SECRET_KEY", "test".to_owned()),
            ("BATCH_SQS_QUEUE_URL", self.queue_url.clone()),
            ("BATCH_JOB_QUEUE_ARN", self.job_queue.clone()),
            ("BATCH_JOB_DEFINITION_ARN", self.job_definition.clone()),
            ("AWS_ENDPOINT_URL_BATCH", service("TEST_MOTO")),
            (
                "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                "http://127.0.0.1:1".to_owned(),
            ),
        ]
    }
}

/// A moto of the test's own, which asks for permissions, with an account that has none.
pub(crate) struct Guarded {
    _server: Running,
    pub(crate) url: String,
    pub(crate) keys: Value,
}

impl Guarded {
    pub(crate) fn start() -> Self {
        // Not one of those that the system gives to connections, which could take it before moto does.
        let mut ports = std::iter::repeat_with(|| rand::random_range(20_000..32_000_u16));
        let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = ports.find(is_free).unwrap().to_string();
        let python = service("TEST_PYTHON");
        let server = Running::start(
            Command::new(&python)
                .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port])
                // The three calls below are let through.
                .env("INITIAL_NO_AUTH_ACTION_COUNT", "3")
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let url = format!("http://127.0.0.1:{port}");
        let script = "
import boto3, json, sys, time, urllib.request
url = sys.argv[1]
for _ in range(100):
    try:
        urllib.request.urlopen(url + '/moto-api/', timeout=5); break
    except OSError:
        time.sleep(0.1)
at = dict(endpoint_url=url, region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b')
iam = boto3.client('iam', **at)
iam.create_user(UserName='guest')
key = iam.create_access_key(UserName='guest')['AccessKey']
queue = boto3.client('sqs', **at).create_queue(QueueName='guarded')['QueueUrl']
print(json.dumps({'id': key['AccessKeyId'], 'secret': key['SecretAccessKey'], 'queue': queue}))
";
        let output = Command::new(&python)
            .args(["-c", script, &url])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        Self {
            _server: server,
            url,
            keys: serde_json::from_slice(&output.stdout).unwrap(),
        }
    }
}
