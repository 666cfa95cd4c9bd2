//! AWS Secrets Manager: moto's, behind a gate that can be shut.

use std::net::Ipv4Addr;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_secretsmanager::primitives::Blob;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wedding_photo_processor::aws::HyperClient;
use wedding_photo_processor::s3::Keys;

use super::stores::service;

/// A secret of the test's own.
pub(crate) struct Secret {
    /// Where the gate is.
    pub(crate) url: String,
    pub(crate) arn: String,
    client: Client,
    shut: watch::Sender<bool>,
}

impl Secret {
    /// A secret with this text.
    pub(crate) async fn new(text: &str) -> Self {
        let moto = service("TEST_MOTO");
        let keys = Credentials::new("test", "test", None, None, "test");
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(HyperClient::new().unwrap())
            .region(Region::new("us-east-1"))
            .credentials_provider(keys)
            .endpoint_url(&moto);
        let client = Client::from_conf(config.build());
        let create = client.create_secret();
        let create = create.name(format!("r2-{:016x}", rand::random::<u64>()));
        let made = create.secret_string(text).send().await.unwrap();
        let (url, shut) = gate(moto.trim_start_matches("http://").to_owned()).await;
        Self {
            url,
            arn: made.arn.unwrap(),
            client,
            shut,
        }
    }

    /// A secret with these keys.
    pub(crate) async fn of(keys: &Keys) -> Self {
        Self::new(&text(keys)).await
    }

    /// Puts other keys in.
    pub(crate) async fn put(&self, keys: &Keys) {
        let put = self.client.put_secret_value().secret_id(&self.arn);
        put.secret_string(text(keys)).send().await.unwrap();
    }

    /// Puts something in that is not text.
    pub(crate) async fn put_bytes(&self) {
        let put = self.client.put_secret_value().secret_id(&self.arn);
        put.secret_binary(Blob::new([0, 1, 2]))
            .send()
            .await
            .unwrap();
    }

    /// Marks it for deletion.
    pub(crate) async fn delete(&self) {
        let delete = self.client.delete_secret().secret_id(&self.arn);
        delete.send().await.unwrap();
    }

    /// From now on nobody gets through to Secrets Manager, or everybody again.
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.send_replace(shut);
    }

    /// The environment that the programs need to read it, beside an account of AWS's.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("R2_SECRET_ARN", self.arn.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.url.clone()),
        ]
    }
}

/// As it is put in, with a field that is nobody's business.
fn text(keys: &Keys) -> String {
    json!({
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "endpoint": "https://account.r2.cloudflarestorage.com",
    })
    .to_string()
}

async fn gate(to: String) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shut = watch::Sender::new(false);
    let seen = shut.subscribe();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (to, mut seen) = (to.clone(), seen.clone());
            tokio::spawn(async move {
                let through = async {
                    let mut other = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut stream, &mut other).await
                };
                tokio::select! {
                    biased;
                    _ = seen.wait_for(|shut| *shut) => {}
                    _ = through => {}
                }
            });
        }
    });
    (url, shut)
}
