//! The one TLS stack: rustls with aws-lc, for photo servers and for the store.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Why no TLS client can be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file that `SSL_CERT_FILE` names.
    #[error("the certificates named by `SSL_CERT_FILE` cannot be read")]
    Certificates(#[source] io::Error),
    /// rustls refuses the settings.
    #[error("TLS cannot be set up")]
    Rustls(#[source] rustls::Error),
}

/// Trusts Mozilla's authorities and the system's; `SSL_CERT_FILE` adds to Mozilla's.
///
/// # Errors
/// If that file cannot be read.
pub fn client_config() -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let native = rustls_native_certs::load_native_certs();
    if let Some(error) = native.errors.into_iter().next()
        && std::env::var_os("SSL_CERT_FILE").is_some()
    {
        return Err(TlsError::Certificates(io::Error::other(error)));
    }
    roots.add_parsable_certificates(native.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
