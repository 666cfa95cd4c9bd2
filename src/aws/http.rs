//! The SDK's HTTP client, over hyper.
//!
//! The SDK brings one of its own, but that speaks HTTP/2 where it is offered, and then shares one
//! connection per host for all uploads. This one speaks HTTP/1.1 over as many connections as
//! there are requests, on the same TLS stack as everything else, and never asks for a
//! `100-continue`, which R2 does not know.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::EXPECT;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::tls::{self, TlsError};

/// How long a TCP connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept; R2 closes them after a minute and more.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// The longest document that is read, in bytes.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// A client that makes one kind of connection, whatever the SDK asks for.
#[derive(Debug, Clone)]
pub struct HyperClient(Client<HttpsConnector<TcpConnector>, SdkBody>);

impl HyperClient {
    /// Makes a client.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new() -> Result<Self, TlsError> {
        Self::with(|_| {})
    }

    /// Makes a client whose connections hold at most so many bytes of what they read: for many
    /// downloads at once.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn with_read_buffer(bytes: usize) -> Result<Self, TlsError> {
        Self::with(|builder| {
            builder.http1_max_buf_size(bytes);
        })
    }

    fn with(settle: impl FnOnce(&mut Builder)) -> Result<Self, TlsError> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE);
        settle(&mut builder);
        Ok(Self(builder.build(https)))
    }
}

impl HyperClient {
    /// Gets a small document from a service of this machine.
    pub(crate) async fn get(&self, url: &str) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        let request = http::Request::get(url).body(SdkBody::empty())?;
        let response = self.0.request(request).await?;
        if !response.status().is_success() {
            return Err(format!("HTTP {}", response.status()).into());
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES);
        Ok(body.collect().await?.to_bytes())
    }
}

impl HttpClient for HyperClient {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for HyperClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let mut request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            request.headers_mut().remove(EXPECT);
            let response = client
                .request(request)
                .await
                .map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
