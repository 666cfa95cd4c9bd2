//! What is in `GOOGLE_APPLICATION_CREDENTIALS`: read, mended where people's tools spoil it, and checked
//! before Google's library sees it. That one repeats in its errors what it was given, private keys too.
//!
//! Forms: "Authentication in Google Cloud, application default credentials" and Google's AIP-4112 to 4117.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::redact;

/// The fields that are secret, wherever they stand.
const SECRET_FIELDS: [&str; 5] = [
    "private_key",
    "private_key_id",
    "refresh_token",
    "client_secret",
    "access_token",
];

/// The kinds that are known, and the texts that each must have.
const KINDS: [(&str, &[&str]); 4] = [
    (
        "service_account",
        &[
            "client_email",
            "private_key_id",
            "private_key",
            "project_id",
        ],
    ),
    (
        "authorized_user",
        &["client_id", "client_secret", "refresh_token"],
    ),
    (
        "external_account",
        &["audience", "subject_token_type", "token_url"],
    ),
    (
        "impersonated_service_account",
        &["service_account_impersonation_url"],
    ),
];

/// Reads a text that must be a key. The error says what is wrong with it, without what it says.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let parsed: Result<Value, _> = serde_json::from_str(text);
    let mut key = parsed.map_err(|error| {
        redact::learn(text);
        if text.starts_with(['"', '\'']) {
            return "it stands in quotes; take them away".to_owned();
        }
        let decoded = BASE64_STANDARD.decode(text.replace(['\n', '\r'], ""));
        if decoded.is_ok_and(|bytes| bytes.first() == Some(&b'{')) {
            return "it is in base64; give the text itself, or the file".to_owned();
        }
        let (line, column) = (error.line(), error.column());
        format!("it is not JSON (line {line}, column {column})")
    })?;
    learn(&key);
    if key.as_str().is_some() {
        return Err("it stands in quotes; take them away".to_owned());
    }
    mend(&mut key)?;
    Ok(key)
}

/// Makes the secrets in it known.
fn learn(key: &Value) {
    match key {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if SECRET_FIELDS.contains(&name.as_str()) => {
                        redact::learn(&line_breaks(text));
                        redact::learn(text);
                    }
                    value => learn(value),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(learn),
        Value::String(text) if text.contains("-----BEGIN ") => redact::learn(text),
        _ => {}
    }
}

/// Checks that all is there, and mends the private key, also that of the account which stands in for
/// another one.
fn mend(key: &mut Value) -> Result<(), String> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let kind = text("type").ok_or("it has no `type`")?;
    let Some((kind, wanted)) = KINDS.into_iter().find(|(known, _)| *known == kind) else {
        return Err(format!(
            "its `type` is none of `{}`",
            KINDS.map(|(kind, _)| kind).join("`, `")
        ));
    };
    if let Some(name) = wanted.iter().find(|name| text(name).is_none()) {
        return Err(match key.get(*name) {
            None => format!("its `type` is `{kind}`, but it has no `{name}`"),
            Some(_) => format!("its `{name}` is no text"),
        });
    }
    match kind {
        "service_account" => {
            let pem = line_breaks(text("private_key").unwrap_or_default());
            check(&pem)?;
            key["private_key"] = Value::from(pem);
        }
        "impersonated_service_account" => {
            let source = key
                .get_mut("source_credentials")
                .filter(|source| source.is_object());
            let source = source.ok_or("it has no `source_credentials`")?;
            mend(source).map_err(|problem| format!("of its `source_credentials`: {problem}"))?;
        }
        _ => {}
    }
    Ok(())
}

/// A key with the line breaks that it was made with: those of other systems, and those that were written
/// as `\n` once too often, as it happens on the way through environment variables and secret managers.
fn line_breaks(pem: &str) -> String {
    let pem = pem.trim().trim_matches(['"', '\'']);
    let pem = pem
        .replace("\\r\\n", "\n")
        .replace("\\n", "\n")
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    // A backslash at the end of each line is left over from one in front of a true line break.
    let lines: Vec<&str> = pem
        .lines()
        .map(|line| line.trim().trim_end_matches('\\').trim_end())
        .collect();
    format!("{}\n", lines.join("\n").trim())
}

/// Checks that Google's library can sign with it: PKCS #8 (RFC 5208) in PEM (RFC 7468).
fn check(pem: &str) -> Result<(), String> {
    let pem = pem.trim();
    let remedy = "copy it anew from the file that Google made";
    if pem.is_empty() {
        return Err(format!("its `private_key` is empty; {remedy}"));
    }
    if !pem.contains("-----BEGIN ") {
        return Err(format!("its `private_key` is not PEM; {remedy}"));
    }
    let lines = pem.lines().count();
    if lines < 3 {
        return Err(format!(
            "its `private_key` is not PEM: its line breaks are lost; {remedy}"
        ));
    }
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err(format!(
            "its `private_key` is encrypted, which Google's keys are not; {remedy}"
        ));
    }
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Err(_) => Err(format!(
            "its `private_key` is not PEM as it must be; {remedy}"
        )),
        Ok(PrivateKeyDer::Pkcs8(key)) => {
            let key = PrivateKeyDer::Pkcs8(key);
            match rustls::crypto::aws_lc_rs::sign::any_supported_type(&key) {
                Ok(_) => Ok(()),
                Err(_) => Err(format!(
                    "its `private_key` is PEM, but holds no key that can be used; {remedy}"
                )),
            }
        }
        Ok(_) => Err(format!(
            "its `private_key` is none of PKCS #8 (`-----BEGIN PRIVATE KEY-----`); {remedy}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of RSA such as Google makes, made for this run.
    fn pem() -> String {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)
            .unwrap()
            .serialize_pem()
            .replace("\r\n", "\n")
    }

    fn key(private_key: &str) -> Value {
        serde_json::json!({
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": private_key,
            "client_email": "photos@p.iam.gserviceaccount.com",
        })
    }

    /// What people's keys look like after environment variables and secret managers.
    #[test]
    fn line_breaks_are_mended_and_what_cannot_be_is_told() {
        let pem = pem();
        for spoiled in [
            pem.clone(),
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\\r\\n"),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "\r"),
            pem.replace('\n', "\\\n"),
            format!("\"{}\"", pem.replace('\n', "\\n")),
            format!("  {}  ", pem.replace('\n', "\n   ")),
        ] {
            let read = read(&key(&spoiled).to_string()).unwrap_or_else(|p| panic!("{p}"));
            assert_eq!(read["private_key"], pem, "{spoiled}");
            let nested = serde_json::json!({
                "type": "impersonated_service_account",
                "service_account_impersonation_url": "https://iam.example/x:generateAccessToken",
                "source_credentials": key(&spoiled),
            });
            let nested = super::read(&nested.to_string()).unwrap();
            assert_eq!(nested["source_credentials"]["private_key"], pem);
        }
        let lost = "its `private_key` is not PEM: its line breaks are lost; copy it anew from the file \
                    that Google made";
        for spoiled in [pem.replace('\n', " "), pem.replace('\n', "")] {
            assert_eq!(read(&key(&spoiled).to_string()).unwrap_err(), lost);
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let table: Vec<String> = [
            r#"{"type": "service_account", "private_key": "hunter2""#.to_owned(),
            r#""{\"private_key\": \"hunter2\"}""#.to_owned(),
            "aHVudGVyMmh1bnRlcjI=".to_owned(),
            r#"{"private_key": "hunter2"}"#.to_owned(),
            r#"{"type": "hunter2"}"#.to_owned(),
            r#"{"type": "service_account", "private_key": "hunter2"}"#.to_owned(),
            r#"{"type": "authorized_user", "client_secret": "hunter2"}"#.to_owned(),
            r#"{"type": "impersonated_service_account", "service_account_impersonation_url": "hunter2"}"#
                .to_owned(),
            key("hunter2").to_string(),
            key("").to_string(),
            key("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n").to_string(),
            key("-----BEGIN PRIVATE KEY-----\nhunter2AAAAA\nBBBB\n").to_string(),
            key("-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----\n")
                .to_string(),
            key("-----BEGIN PRIVATE KEY-----\nMIGkAg==\n-----END PRIVATE KEY-----\n").to_string(),
            key("-----BEGIN RSA PRIVATE KEY-----\nMIGkAg==\n-----END RSA PRIVATE KEY-----\n").to_string(),
        ]
        .into_iter()
        .map(|text| read(&text).unwrap_err())
        .collect();
        let table = table.join("\n");
        assert!(!table.contains("hunter2"), "{table}");
        insta::assert_snapshot!(table);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_key_or_told(text in ".*", pem in "(-----BEGIN PRIVATE KEY-----)?.{0,80}") {
            let _ = read(&text);
            let _ = read(&key(&pem).to_string());
        }
    }
}
