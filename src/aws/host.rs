//! What a container can learn from the machine that it runs on.

use std::time::Duration;

use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::HyperClient;

/// How often the notice is looked for, as AWS advises (EC2 User Guide, "Spot Instance interruption
/// notices"). It comes two minutes before the end.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the metadata may take to answer; it is on the machine itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often the metadata is looked for before it is clear that there is none.
const MAX_LOOKS: u32 = 3;
const INSTANCE_ID: &str = "/latest/meta-data/instance-id";
const SPOT_NOTICE: &str = "/latest/meta-data/spot/instance-action";

/// Cancels `cancel` when the machine is about to be taken away, because it is a Spot instance. Ends
/// soon where there is no instance metadata. `AWS_EC2_METADATA_SERVICE_ENDPOINT` is honoured.
pub async fn watch_for_interruption(http: HyperClient, cancel: CancellationToken) {
    let config = ProviderConfig::default().with_http_client(http);
    let client = imds::Client::builder()
        .configure(&config)
        .max_attempts(1)
        .connect_timeout(ANSWER_WITHIN)
        .read_timeout(ANSWER_WITHIN)
        .build();
    let mut looks = 0;
    while !matches!(
        timeout(ANSWER_WITHIN, client.get(INSTANCE_ID)).await,
        Ok(Ok(_))
    ) {
        looks += 1;
        if looks == MAX_LOOKS {
            tracing::debug!("there is no instance metadata: not on EC2");
            return;
        }
        sleep(LOOK_EVERY).await;
    }
    tracing::debug!("watching for an interruption of the Spot instance");
    loop {
        match timeout(ANSWER_WITHIN, client.get(SPOT_NOTICE)).await {
            Ok(Ok(notice)) => {
                tracing::warn!(
                    "the Spot instance is about to be taken away: {}",
                    notice.as_ref()
                );
                cancel.cancel();
                return;
            }
            // 404 means that there is none.
            Ok(Err(ImdsError::ErrorResponse(_))) => {}
            Ok(Err(error)) => tracing::debug!("no word of the instance metadata: {error}"),
            Err(_) => tracing::debug!("no word of the instance metadata in time"),
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The name of this container's stream in CloudWatch Logs, as ECS tells it at `metadata_url` (ECS
/// Developer Guide, "Task metadata endpoint version 4": `LogOptions`). `None` if it does not.
pub async fn log_stream(http: &HyperClient, metadata_url: &str) -> Option<String> {
    let answer = timeout(ANSWER_WITHIN, http.get(metadata_url)).await;
    let metadata: serde_json::Value = serde_json::from_slice(&answer.ok()?.ok()?).ok()?;
    let stream = metadata["LogOptions"]["awslogs-stream"].as_str()?;
    Some(stream.to_owned())
}
