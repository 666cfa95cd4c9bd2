//! The S3-compatible stores that the tests run against: MinIO and LocalStack, which `ci/services`
//! starts, and the one with R2's rules; each plain and over TLS.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use sha2::Digest as _;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wedding_photo_processor::aws::HyperClient;
use wedding_photo_processor::retry::RetryPolicy;
use wedding_photo_processor::s3::{Keys, S3Bucket, S3Options, S3Store, StoreKeys};

use super::r2::R2;

/// What MinIO's interface for administrators wants bodies to be encrypted with (madmin-go, `EncryptData`):
/// AES-256-GCM by a key from PBKDF2, in one fragment of sio-go's.
fn madmin_encrypted(password: &str, body: &[u8]) -> Vec<u8> {
    let salt: [u8; 32] = rand::random();
    let nonce: [u8; 8] = rand::random();
    let mut key = [0; 32];
    let rounds = NonZeroU32::new(8192).unwrap();
    pbkdf2::derive(
        PBKDF2_HMAC_SHA256,
        rounds,
        &salt,
        password.as_bytes(),
        &mut key,
    );
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let seal = |number: u32, associated: &[u8], text: &mut Vec<u8>| {
        let nonce = [&nonce[..], &number.to_le_bytes()].concat();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        key.seal_in_place_append_tag(nonce, Aad::from(associated), text)
            .unwrap();
    };
    let (mut associated, mut text) = (Vec::new(), body.to_vec());
    seal(0, &[], &mut associated);
    // 0x80: the last fragment.
    seal(1, &[&[0x80], &associated[..]].concat(), &mut text);
    // 2: which key derivation and which cipher.
    [&salt[..], &[2], &nonce, &text].concat()
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Minio,
    MinioTls,
    LocalStack,
    LocalStackTls,
    R2,
    R2Tls,
}

/// Every store.
pub(crate) const ALL: [Kind; 6] = [
    Kind::Minio,
    Kind::MinioTls,
    Kind::LocalStack,
    Kind::LocalStackTls,
    Kind::R2,
    Kind::R2Tls,
];

/// A store, with a bucket of the test's own.
pub(crate) struct Store {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) r2: Option<R2>,
}

/// The environment that `ci/services env` prints.
pub(crate) fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run the tests with `ci/test`, or start the services with \
             `ci/services up` and `eval \"$(ci/services env)\"`"
        )
    })
}

fn tls() -> Arc<ServerConfig> {
    let folder = PathBuf::from(service("TEST_TLS_DIR"));
    let certificate = CertificateDer::from_pem_file(folder.join("public.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("private.key")).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(
        ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap(),
    )
}

impl Store {
    /// A store with an empty bucket.
    pub(crate) async fn start(kind: Kind) -> Self {
        let r2 = match kind {
            Kind::R2 => Some(R2::start(None).await),
            Kind::R2Tls => Some(R2::start(Some(tls())).await),
            _ => None,
        };
        let endpoint = match (&r2, kind) {
            (Some(r2), _) => r2.url(),
            (None, Kind::Minio) => service("TEST_MINIO"),
            (None, Kind::MinioTls) => service("TEST_MINIO_TLS"),
            (None, Kind::LocalStack) => service("TEST_LOCALSTACK"),
            (None, _) => service("TEST_LOCALSTACK_TLS"),
        };
        let store = Self {
            endpoint,
            bucket: format!("photos-{:016x}", rand::random::<u64>()),
            access_key: service("TEST_STORE_ACCESS_KEY"),
            secret_key: service("TEST_STORE_SECRET_KEY"),
            r2,
        };
        if store.r2.is_none() {
            let create = store.client().create_bucket().bucket(&store.bucket).send();
            create.await.unwrap();
        }
        store
    }

    /// Options that fail fast.
    pub(crate) fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".to_owned(),
            aws_region: None,
            keys: StoreKeys::Fixed(Keys {
                access_key: self.access_key.clone(),
                secret_key: self.secret_key.clone(),
            }),
            retry: RetryPolicy {
                // Long enough for R2's one write a second to one key.
                attempts: 9,
                delay: Duration::from_millis(50),
            },
        }
    }

    /// The bucket, as the program sees it.
    pub(crate) async fn bucket(&self) -> S3Bucket {
        let http = HyperClient::new().unwrap();
        let store = S3Store::new(&self.options(), &http).await.unwrap();
        store.bucket(&self.bucket)
    }

    /// A client of the test's own, to look from outside.
    pub(crate) fn client(&self) -> Client {
        let keys = Credentials::new(&self.access_key, &self.secret_key, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(HyperClient::new().unwrap())
            .region(Region::new("us-east-1"))
            .credentials_provider(keys)
            .endpoint_url(&self.endpoint)
            .force_path_style(true);
        Client::from_conf(config.build())
    }

    /// The object at a key.
    pub(crate) async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let get = self.client().get_object().bucket(&self.bucket).key(key);
        let answer = get.send().await.ok()?;
        Some(answer.body.collect().await.unwrap().to_vec())
    }

    /// Uploads that are neither completed nor aborted.
    pub(crate) async fn open_uploads(&self) -> usize {
        if let Some(r2) = &self.r2 {
            return r2.open_uploads();
        }
        let list = self.client().list_multipart_uploads().bucket(&self.bucket);
        list.send().await.unwrap().uploads().len()
    }

    /// Keys of MinIO's own token service that may do nothing but this, as AWS's environment.
    pub(crate) fn keys_that_may(&self, actions: &[&str]) -> [(&'static str, String); 3] {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]}]});
        let answer = Command::new("curl")
            .args(["-sS", "--aws-sigv4", "aws:amz:us-east-1:sts", "-X", "POST"])
            .arg(&self.endpoint)
            .args([
                "--user",
                &format!("{}:{}", self.access_key, self.secret_key),
            ])
            .args(["--data-urlencode", "Action=AssumeRole"])
            .args(["--data-urlencode", "Version=2011-06-15"])
            .args(["--data-urlencode", &format!("Policy={policy}")])
            .output()
            .unwrap();
        let answer = String::from_utf8(answer.stdout).unwrap();
        let field = |name: &str| {
            let rest = answer.split(&format!("<{name}>")).nth(1).expect(&answer);
            rest.split('<').next().unwrap().to_owned()
        };
        [
            ("AWS_ACCESS_KEY_ID", field("AccessKeyId")),
            ("AWS_SECRET_ACCESS_KEY", field("SecretAccessKey")),
            ("AWS_SESSION_TOKEN", field("SessionToken")),
        ]
    }

    /// New keys of MinIO's, which may do all that ours may.
    pub(crate) fn add_keys(&self) -> Keys {
        let new = || format!("{:016x}", rand::random::<u64>());
        let keys = Keys {
            access_key: new(),
            secret_key: new(),
        };
        let wanted =
            serde_json::json!({"accessKey": keys.access_key, "secretKey": keys.secret_key});
        let body = madmin_encrypted(&self.secret_key, wanted.to_string().as_bytes());
        self.administrate("PUT", "add-service-account", &body);
        keys
    }

    /// These keys are good no more.
    pub(crate) fn remove_keys(&self, keys: &Keys) {
        let call = format!("delete-service-account?accessKey={}", keys.access_key);
        self.administrate("DELETE", &call, &[]);
    }

    /// A request to the interface that MinIO's own `mc admin` uses.
    fn administrate(&self, method: &str, call: &str, body: &[u8]) {
        let mut body_file = tempfile::NamedTempFile::new().unwrap();
        body_file.write_all(body).unwrap();
        let digest = sha2::Sha256::digest(body);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let output = Command::new("curl")
            .args([
                "-sS",
                "--fail-with-body",
                "--aws-sigv4",
                "aws:amz:us-east-1:s3",
            ])
            .args(["-X", method, "-H", "Content-Type: application/octet-stream"])
            .args(["-H", &format!("x-amz-content-sha256: {digest}")])
            .args([
                "--user",
                &format!("{}:{}", self.access_key, self.secret_key),
            ])
            .arg("--data-binary")
            .arg(format!("@{}", body_file.path().display()))
            .arg(format!("{}/minio/admin/v3/{call}", self.endpoint))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The environment that the program needs to use the store.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("R2_ENDPOINT", self.endpoint.clone()),
            ("R2_ACCESS_KEY", self.access_key.clone()),
            ("R2_SECRET_KEY", self.secret_key.clone()),
            ("WPP_R2__REGION", "us-east-1".to_owned()),
            ("WPP_R2__ATTEMPTS", "4".to_owned()),
            ("WPP_R2__RETRY_DELAY", "50ms".to_owned()),
            ("SSL_CERT_FILE", service("TEST_CA")),
        ]
    }
}
