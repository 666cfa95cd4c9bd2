//! The one TLS stack: rustls with aws-lc, for photo servers and for the store.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
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

/// The system's authorities, or those in the file that `SSL_CERT_FILE` names, as DER.
///
/// # Errors
/// If that file cannot be read.
pub fn native_certificates() -> Result<Vec<Vec<u8>>, TlsError> {
    let native = load_native()?;
    Ok(native
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect())
}

fn load_native() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let native = rustls_native_certs::load_native_certs();
    if let Some(error) = native.errors.into_iter().next()
        && std::env::var_os("SSL_CERT_FILE").is_some()
    {
        return Err(TlsError::Certificates(io::Error::other(error)));
    }
    Ok(native.certs)
}

/// Trusts Mozilla's authorities and the system's; `SSL_CERT_FILE` adds to Mozilla's.
///
/// # Errors
/// If that file cannot be read.
pub fn client_config() -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(load_native()?);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
