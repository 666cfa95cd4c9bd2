//! Metrics of one job, as a line that CloudWatch Logs turns into metrics by itself (its
//! documentation, "Embedded metric format specification").

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "WeddingPhotoProcessor";

/// What is measured of one attempt at a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobMetrics {
    /// The job; a field of the line, no dimension.
    pub job: String,
    /// How the attempt ended: `done`, `failed`, `retried`, `interrupted`, `cancelled` or `lost`.
    pub outcome: &'static str,
    /// Bytes of the finished archives.
    pub bytes: u64,
    /// Photos in them.
    pub photos: usize,
    /// Photos that are not.
    pub missing: usize,
    /// Requests for photos that were repeated.
    pub retries: u64,
    /// Times that the run started over because a photo changed.
    pub restarts: u64,
    /// Seconds from being queued until the attempt began.
    pub queued_seconds: f64,
    /// Seconds of looking at the photos.
    pub probing_seconds: f64,
    /// Seconds of moving them.
    pub transferring_seconds: f64,
    /// The most memory that the process held, in bytes.
    pub peak_memory_bytes: u64,
}

impl JobMetrics {
    /// Every metric: its name, its unit, its value. Of attempts that did not end well, only what
    /// they tell about.
    fn values(&self) -> Vec<(&'static str, &'static str, Value)> {
        let one_if = |outcome| json!(u8::from(self.outcome == outcome));
        let mut values = vec![
            ("JobsDone", "Count", one_if("done")),
            ("JobsFailed", "Count", one_if("failed")),
            ("AttemptsFailed", "Count", one_if("retried")),
            ("AttemptsInterrupted", "Count", one_if("interrupted")),
            ("PhotosMissing", "Count", json!(self.missing)),
            ("Retries", "Count", json!(self.retries)),
            ("Restarts", "Count", json!(self.restarts)),
            ("QueueWait", "Seconds", json!(self.queued_seconds)),
            ("PeakMemory", "Bytes", json!(self.peak_memory_bytes)),
        ];
        if self.outcome == "done" {
            let seconds = self.probing_seconds + self.transferring_seconds;
            let rate = self.bytes as f64 / 1e6 / seconds.max(1e-3);
            values.extend([
                ("Bytes", "Bytes", json!(self.bytes)),
                ("Photos", "Count", json!(self.photos)),
                ("Probing", "Seconds", json!(self.probing_seconds)),
                ("Transferring", "Seconds", json!(self.transferring_seconds)),
                ("Throughput", "Megabytes/Second", json!(rate)),
            ]);
        }
        values
    }

    /// The line.
    pub fn to_line(&self, now: Timestamp) -> String {
        let values = self.values();
        let definitions: Vec<Value> = values
            .iter()
            .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
            .collect();
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [[]],
                    "Metrics": definitions,
                }],
            }),
        );
        line.insert("job.id".to_owned(), json!(self.job));
        line.insert("outcome".to_owned(), json!(self.outcome));
        line.extend(
            values
                .into_iter()
                .map(|(name, _, value)| (name.to_owned(), value)),
        );
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_embedded_metric_format() {
        let metrics = JobMetrics {
            job: "smith/0123456789abcdef0123456789abcdef".to_owned(),
            outcome: "done",
            bytes: 200_000_000,
            photos: 25,
            missing: 1,
            retries: 2,
            restarts: 0,
            queued_seconds: 1.5,
            probing_seconds: 0.5,
            transferring_seconds: 3.5,
            peak_memory_bytes: 1 << 28,
        };
        let line = metrics.to_line(Timestamp::from_second(1_780_000_000).unwrap());
        assert!(!line.contains('\n'));
        let done: Value = serde_json::from_str(&line).unwrap();
        insta::assert_json_snapshot!(done);
        let failed = JobMetrics {
            outcome: "failed",
            ..metrics
        };
        let line = failed.to_line(Timestamp::from_second(1_780_000_000).unwrap());
        let failed: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(failed["JobsFailed"], 1);
        assert_eq!(failed.get("Throughput"), None);
    }

    #[test]
    fn charts_and_alarms_know_every_metric() {
        let contract: Value =
            serde_json::from_str(include_str!("../../tests/data/contract.json")).unwrap();
        let contract = &contract["metrics"];
        let metrics = JobMetrics {
            outcome: "done",
            ..JobMetrics::default()
        };
        let mut names: Vec<&str> = metrics.values().iter().map(|(name, ..)| *name).collect();
        let mut known: Vec<&str> = (contract["names"].as_array().unwrap().iter())
            .map(|name| name.as_str().unwrap())
            .collect();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, names, "tests/data/contract.json, for terraform/");
        assert_eq!(contract["namespace"], NAMESPACE);
    }
}
