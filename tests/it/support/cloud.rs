//! A queue at LocalStack and a job queue at moto, of the test's own; `ci/provision.py` makes them.

use std::path::Path;
use std::process::Command;

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
