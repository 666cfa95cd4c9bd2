//! Google Cloud Storage: fake-gcs-server, and before it the gate that it lacks. The gate lets in who
//! has a token that has not run out and a permission, as Google's own does; it hands out tokens as a
//! metadata server, and knows the keys of service accounts.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::stores::service;

/// A bucket behind a gate. The gate ends with the test.
#[derive(Clone)]
pub(crate) struct Google {
    /// Where the gate is.
    pub(crate) url: String,
    /// A bucket of the test's own.
    pub(crate) bucket: String,
    gate: Arc<Gate>,
}

struct Gate {
    client: Client<HttpConnector, Full<Bytes>>,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    /// Public keys of service accounts, by their e-mail address.
    accounts: HashMap<String, Vec<u8>>,
    /// Tokens that the metadata server gave, and until when they are good.
    tokens: HashMap<String, Instant>,
    /// Permissions that nobody has.
    denied: Vec<&'static str>,
    /// How long tokens of the metadata server live.
    life: Duration,
    /// How long a download waits.
    delay: Duration,
    /// Tokens with which somebody was let in.
    used: Vec<String>,
    /// Requests that were let in: `GET /storage/…`.
    log: Vec<String>,
}

impl Google {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let gate = Arc::new(Gate {
            client: Client::builder(TokioExecutor::new()).build_http(),
            rules: Mutex::new(Rules {
                life: Duration::from_hours(1),
                ..Rules::default()
            }),
        });
        let google = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            bucket: format!("photos-{:016x}", rand::random::<u64>()),
            gate: Arc::clone(&gate),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let gate = Arc::clone(&gate);
                let serve = service_fn(move |request| Arc::clone(&gate).serve(request));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), serve);
                tokio::spawn(serving);
            }
        });
        let create = json!({"name": google.bucket}).to_string();
        google
            .call("POST", "/storage/v1/b?project=test", create)
            .await;
        google
    }

    /// A request behind the gate.
    async fn call(&self, method: &str, path: &str, body: impl Into<Bytes>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", service("TEST_GCS")))
            // Without it the type is guessed from bytes, which are noise here.
            .header("content-type", "application/octet-stream")
            .body(Full::new(body.into()))
            .unwrap();
        let answer = self.gate.client.request(request).await.unwrap();
        assert!(
            answer.status().is_success(),
            "{method} {path}: {}",
            answer.status()
        );
    }

    /// Stores an object.
    pub(crate) async fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        let bucket = &self.bucket;
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}");
        self.call("POST", &path, bytes).await;
    }

    /// Removes an object.
    pub(crate) async fn remove(&self, name: &str) {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let name = name.replace('+', "%20");
        let path = format!("/storage/v1/b/{}/o/{name}", self.bucket);
        self.call("DELETE", &path, "").await;
    }

    /// The public address of an object.
    pub(crate) fn public_url(&self, name: &str) -> String {
        let mut url = url::Url::parse(&service("TEST_GCS")).unwrap();
        let segments = std::iter::once(self.bucket.as_str()).chain(name.split('/'));
        url.path_segments_mut().unwrap().extend(segments);
        url.to_string()
    }

    /// A service account, and the text of its key.
    pub(crate) fn account(&self, email: &str) -> String {
        let (key, public) = new_key();
        self.rules(|rules| rules.accounts.insert(email.to_owned(), public));
        json!({
            "type": "service_account",
            "project_id": "test",
            "private_key_id": "0123456789abcdef",
            "private_key": key,
            "client_email": email,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        })
        .to_string()
    }

    /// From now on nobody has these permissions.
    pub(crate) fn deny(&self, permissions: &[&'static str]) {
        self.rules(|rules| rules.denied = permissions.to_vec());
    }

    /// From now on tokens live so long, and every download waits so long.
    pub(crate) fn set_pace(&self, life: Duration, delay: Duration) {
        self.rules(|rules| (rules.life, rules.delay) = (life, delay));
    }

    /// Different tokens with which somebody was let in.
    pub(crate) fn tokens_used(&self) -> usize {
        self.rules(|rules| {
            rules.used.sort();
            rules.used.dedup();
            rules.used.len()
        })
    }

    /// Requests that were let in so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.rules(|rules| rules.log.clone())
    }

    fn rules<T>(&self, with: impl FnOnce(&mut Rules) -> T) -> T {
        with(&mut self.gate.rules.lock().unwrap())
    }
}

/// A private key as PEM, and its public key.
pub(crate) fn new_key() -> (String, Vec<u8>) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der.as_ref())
    );
    (pem, key.public_key().as_ref().to_vec())
}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>>;

fn answer(status: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("metadata-flavor", "Google")
        .body(body.map_err(|never| match never {}).boxed())
        .unwrap()
}

/// As Google words it.
fn refused(status: u16, reason: &str, message: &str) -> Answer {
    let errors = json!([{"domain": "global", "reason": reason, "message": message}]);
    answer(
        status,
        &json!({"error": {"code": status, "message": message, "errors": errors}}),
    )
}

impl Gate {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
        let path = request.uri().path().to_owned();
        if path.starts_with("/computeMetadata/") {
            return Ok(self.metadata(&request, &path));
        }
        let header = request.headers().get("authorization");
        let token = header
            .and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "))
            .unwrap_or_default()
            .to_owned();
        let reads = request
            .uri()
            .query()
            .unwrap_or_default()
            .contains("alt=media");
        let permission = if path.ends_with("/o") {
            "storage.objects.list"
        } else {
            "storage.objects.get"
        };
        let (who, denied, delay) = {
            let mut rules = self.rules.lock().unwrap();
            let who = rules.who(&token);
            if who.is_some() {
                rules.used.push(token);
                let target = request.uri().path_and_query().unwrap();
                rules.log.push(format!("{} {target}", request.method()));
            }
            (who, rules.denied.contains(&permission), rules.delay)
        };
        let Some(who) = who else {
            return Ok(refused(401, "authError", "Invalid Credentials"));
        };
        if denied {
            let message = format!(
                "{who} does not have {permission} access to the Google Cloud Storage object. Permission '{permission}' denied on resource (or it may not exist)."
            );
            return Ok(refused(403, "forbidden", &message));
        }
        if reads {
            sleep(delay).await;
        }
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().unwrap();
        parts.uri = format!("{}{target}", service("TEST_GCS")).parse().unwrap();
        parts.headers.remove("host");
        let body = body.collect().await?.to_bytes();
        let forwarded = Request::from_parts(parts, Full::new(body));
        let answer = self.client.request(forwarded).await.unwrap();
        Ok(answer.map(http_body_util::BodyExt::boxed))
    }

    /// <https://cloud.google.com/compute/docs/metadata/overview>
    fn metadata(&self, request: &Request<Incoming>, path: &str) -> Answer {
        let flavor = request.headers().get("metadata-flavor");
        if flavor.is_none_or(|flavor| flavor != "Google") {
            return answer(403, &json!({}));
        }
        if !path.ends_with("/service-accounts/default/token") {
            return answer(404, &json!({}));
        }
        let mut rules = self.rules.lock().unwrap();
        let token = format!("metadata-token-{}", rules.tokens.len());
        let life = rules.life;
        rules.tokens.insert(token.clone(), Instant::now() + life);
        answer(
            200,
            &json!({"access_token": token, "expires_in": life.as_secs(), "token_type": "Bearer"}),
        )
    }
}

impl Rules {
    /// Whose token this is.
    fn who(&self, token: &str) -> Option<String> {
        if let Some(until) = self.tokens.get(token) {
            // Its own clock is allowed to be behind by a moment.
            let good = Instant::now() <= *until + Duration::from_millis(500);
            return good.then(|| "the machine".to_owned());
        }
        self.account_of(token)
    }

    /// The account that signed a token for itself (AIP-4111).
    fn account_of(&self, token: &str) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, claims) = signed.split_once('.')?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
        let email = claims["iss"].as_str()?;
        let public = self.accounts.get(email)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(signed.as_bytes(), &decode(signature)?)
            .ok()?;
        let now = jiff::Timestamp::now().as_second();
        let (from, to) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let scope = "https://www.googleapis.com/auth/devstorage.read_only";
        let good = from <= now + 60 && now < to && to - from <= 3700 && claims["scope"] == scope;
        good.then(|| email.to_owned())
    }
}
