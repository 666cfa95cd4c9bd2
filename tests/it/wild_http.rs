//! Servers as they are in the wild: encodings that are none, pages instead of photos, heads that only
//! browsers would take, bodies without an end, and proxies.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wedding_photo_processor::engine::EngineError;
use wedding_photo_processor::manifest::{Described, SourceRules};
use wedding_photo_processor::plan::MissingReason;
use wedding_photo_processor::source::http::{HttpSource, ProxyOptions};
use wedding_photo_processor::source::{PhotoSource as _, Probe, SourceError, Transient};

use crate::support::origin::{Origin, Photo, noise};
use crate::support::raw::{Answer, Raw, Request, answer};
use crate::support::{http_options, manifest_of, members, names, options, run, run_with};

/// Bytes that begin like a JPEG.
fn jpeg() -> Vec<u8> {
    let mut bytes = noise(3000, 7);
    bytes[..4].copy_from_slice(b"\xff\xd8\xff\xe0");
    bytes
}

const PAGE: &[u8] = b"<!DOCTYPE html><html><title>Sign in</title></html>";

/// Runs a job of this photo and a good one, and tells what became of this one: its bytes, or why it is
/// missing.
async fn among_good_ones(photo: Value) -> Result<Vec<u8>, MissingReason> {
    let origin = Origin::start().await;
    origin.add("/good.jpg", Photo::new(noise(1000, 99)));
    let (report, sink) = run(manifest_of(&[json!(origin.url("/good.jpg")), photo])).await;
    let report = report.unwrap();
    let members = members(&sink.archive("event.zip").unwrap());
    assert_eq!(
        (members[0].0.as_str(), members[0].1.len()),
        ("good.jpg", 1000)
    );
    match report.missing.first() {
        None => Ok(members[1].1.to_vec()),
        Some(missing) => Err(missing.reason.clone()),
    }
}

async fn served(
    serve: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> Result<Vec<u8>, MissingReason> {
    let raw = Raw::start(serve).await;
    among_good_ones(json!(raw.url("/odd.jpg"))).await
}

async fn probe(url: &str) -> Result<Probe, SourceError> {
    let manifest = manifest_of(&[json!(url)]);
    let source = HttpSource::new(http_options()).unwrap();
    source.probe(&manifest.photos[0], false).await
}

/// A failure that may pass, in words.
fn told(outcome: Result<Probe, SourceError>) -> String {
    match outcome {
        Err(SourceError::Transient(Transient { what, lasting, .. })) => {
            format!("{what} (lasting: {lasting})")
        }
        other => panic!("{other:?}"),
    }
}

// Encodings.

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn encoded(encoding: &str, body: Vec<u8>) -> Result<Vec<u8>, MissingReason> {
    let line = format!("Content-Encoding: {encoding}");
    served(move |request| answer(request, 200, &[&line], &body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn encodings_that_are_none_leave_the_photo_as_it_is() {
    for encoding in [
        "base64",
        "utf-8",
        "image/jpeg",
        "",
        "aws-chunked",
        "aws-chunked, identity",
    ] {
        assert!(
            encoded(encoding, jpeg()).await.unwrap() == jpeg(),
            "{encoding}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_photos_are_unpacked() {
    for (encoding, body) in [
        ("gzip", gzip(&jpeg())),
        ("x-gzip", gzip(&jpeg())),
        ("deflate", zlib(&jpeg())),
        ("aws-chunked,gzip", gzip(&jpeg())),
        ("gzip, gzip", gzip(&gzip(&jpeg()))),
    ] {
        assert!(
            encoded(encoding, body).await.unwrap() == jpeg(),
            "{encoding}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_unpacked_is_missing() {
    let mut damaged = gzip(&jpeg());
    damaged[1000] ^= 0x55;
    for (encoding, body) in [
        ("br", jpeg()),
        ("zstd", jpeg()),
        ("gzip", jpeg()),
        ("gzip", damaged),
        ("deflate", jpeg()),
        ("deflate", zlib(&jpeg())[..2000].to_vec()),
    ] {
        let reason = encoded(encoding, body).await.unwrap_err();
        let encoding = encoding.to_owned();
        assert_eq!(reason, MissingReason::UnreadableEncoding { encoding });
    }
}

// Pages.

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_no_photo() {
    for (content_type, body) in [
        ("text/html; charset=utf-8", PAGE.to_vec()),
        ("text/html", [PAGE, &[b' '; 5000]].concat()),
        ("application/json", b"{\"error\": \"expired\"}".to_vec()),
        (
            "application/xml",
            b"<?xml version=\"1.0\"?><Error/>".to_vec(),
        ),
        ("text/html", vec![]),
    ] {
        let line = format!("Content-Type: {content_type}");
        let reason = served(move |request| answer(request, 200, &[&line], &body)).await;
        let content_type = content_type.split(';').next().unwrap().to_owned();
        assert_eq!(reason, Err(MissingReason::NotAPhoto { content_type }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_no_photo_however_it_comes() {
    let not_a_photo = Err(MissingReason::NotAPhoto {
        content_type: "text/html".to_owned(),
    });
    // After a redirect.
    let outcome = served(|request| match request.target.as_str() {
        "/odd.jpg" => answer(request, 302, &["Location: /login"], b""),
        _ => answer(request, 200, &["Content-Type: text/html"], PAGE),
    });
    assert_eq!(outcome.await, not_a_photo);
    // Without a length, and packed.
    let outcome = served(|request| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n";
        let body = if request.is_head() {
            vec![]
        } else {
            gzip(PAGE)
        };
        Answer::Bytes([head.to_vec(), body].concat())
    });
    assert_eq!(outcome.await, not_a_photo);
    // Where HEAD promised a photo.
    let outcome = served(|request| match request.method.as_str() {
        "HEAD" => answer(request, 200, &["Content-Type: image/jpeg"], PAGE),
        _ => answer(request, 200, &["Content-Type: text/html"], PAGE),
    });
    assert_eq!(outcome.await, not_a_photo);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_is_called_a_page_is_a_photo() {
    let outcome = served(|request| answer(request, 200, &["Content-Type: text/html"], &jpeg()));
    assert!(outcome.await.unwrap() == jpeg());
    let origin = Origin::start().await;
    // With ranges, and long enough to be fetched in several.
    let mut long = noise(14_000_000, 1);
    long[..12].copy_from_slice(b"\0\0\0\x18ftypisom");
    origin.add(
        "/film",
        Photo::new(long.clone()).header("content-type", "text/plain"),
    );
    assert!(among_good_ones(json!(origin.url("/film"))).await.unwrap() == long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_meant_is_kept() {
    let raw = Raw::start(|request| answer(request, 200, &["Content-Type: text/html"], PAGE)).await;
    let url = raw.url("/story");
    for photo in [
        json!({"url": url, "size": PAGE.len()}),
        json!({"url": url, "name": "story.htm"}),
        json!(raw.url("/guests.html")),
    ] {
        assert!(among_good_ones(photo).await.unwrap() == PAGE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_behave_cost_no_further_request() {
    let raw =
        Raw::start(|request| answer(request, 200, &["Content-Type: image/jpeg"], &jpeg())).await;
    among_good_ones(json!(raw.url("/a.jpg"))).await.unwrap();
    let methods: Vec<String> = raw
        .log()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, ["HEAD", "GET"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_describe_photos() {
    let disposition = "Content-Disposition: attachment; filename=\"IMG_1.jpg\"";
    let raw = Raw::start(move |request| {
        answer(
            request,
            200,
            &["Content-Type: image/HEIC", disposition],
            &jpeg(),
        )
    })
    .await;
    let described = Described {
        content_type: Some("image/heic".to_owned()),
        file_name: Some("IMG_1.jpg".to_owned()),
    };
    assert_eq!(
        probe(&raw.url("/download")).await.unwrap().described,
        described
    );
}

// Heads.

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_browsers_take_are_taken() {
    let many: String = (0..250)
        .map(|number| format!("X-{number}: x\r\n"))
        .collect();
    let length = "Content-Length: 3000\r\n";
    for lines in [
        format!("{many}{length}"),
        format!("X-Long: a\r\n b\r\n{length}"),
        format!("junk\r\n{length}"),
        format!("X Bad (x): b\r\n{length}"),
        format!("X-Bad: a\x01b\r\n{length}"),
        "Content-Length : 3000\r\n".to_owned(),
        "content-length:3000\r\n".to_owned(),
    ] {
        let outcome = served(move |request| {
            let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
            let body = if request.is_head() { vec![] } else { jpeg() };
            Answer::Bytes([head, body].concat())
        });
        assert!(outcome.await.unwrap() == jpeg());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_said() {
    let many: String = (0..300)
        .map(|number| format!("X-{number}: x\r\n"))
        .collect();
    let mut said = Vec::new();
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/one 200 fine\r\n\r\n".to_owned(),
        "HTTP/1.1 fine\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let raw = Raw::start(move |_| Answer::Bytes(bytes.clone().into_bytes())).await;
        said.push(told(probe(&raw.url("/a.jpg?token=secret")).await));
    }
    for url in [
        "http://no-such-host.invalid/a.jpg?token=secret",
        "http://127.0.0.1:1/a.jpg",
    ] {
        said.push(told(probe(url).await));
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ways_to_say_yes_are_taken() {
    let outcome = served(|request| answer(request, 203, &[], &jpeg()));
    assert!(outcome.await.unwrap() == jpeg());
    let outcome =
        served(|request| answer(request, 206, &["Content-Range: bytes 0-2999/3000"], &jpeg()));
    assert!(outcome.await.unwrap() == jpeg());
}

// Ways to a photo.

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_as_they_are_written() {
    for location in ["/hochzeit_ü.jpg".as_bytes(), b"/hochzeit_\xfc.jpg"] {
        let outcome = served(move |request| {
            if request.target == "/odd.jpg" {
                let head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ";
                return Answer::Bytes([head, location, b"\r\n\r\n"].concat());
            }
            assert_eq!(request.target, "/hochzeit_%C3%BC.jpg");
            answer(request, 200, &[], &jpeg())
        });
        assert!(outcome.await.unwrap() == jpeg());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_decides_nothing() {
    let mut http = http_options();
    http.hosts = SourceRules {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        allow_http: true,
        ..SourceRules::default()
    };
    for (status, line) in [
        (302, "Location: https://login.example/"),
        (302, "Location: /a.jpg"),
        (302, "Location: http://169.254.169.254/"),
        (302, "X: no location"),
        (403, "X: x"),
        (500, "X: x"),
    ] {
        let raw = Raw::start(move |request| match request.method.as_str() {
            "HEAD" => answer(request, status, &[line], b""),
            _ => answer(request, 200, &[], &jpeg()),
        })
        .await;
        let manifest = manifest_of(&[json!(raw.url("/a.jpg"))]);
        let (report, sink) = run_with(manifest, &options(), &http).await;
        report.unwrap();
        assert!(members(&sink.archive("event.zip").unwrap())[0].1 == jpeg());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn firebase_need_not_describe_a_photo() {
    for status in [400, 401, 403, 404, 412] {
        let raw = Raw::start(move |request| {
            if request.target.contains("alt=media") {
                answer(request, 200, &[], &jpeg())
            } else {
                answer(request, status, &[], b"{}")
            }
        })
        .await;
        let url = raw.url("/v0/b/bucket/o/a.jpg?alt=media&token=t");
        assert!(among_good_ones(json!(url)).await.unwrap() == jpeg());
    }
}

// Time and size.

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_is_given_up() {
    let raw = Raw::start(|request| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n".to_vec();
        if request.is_head() {
            Answer::Bytes(head)
        } else {
            Answer::Drip(head, jpeg())
        }
    })
    .await;
    let mut options = options();
    options.retry.attempts = 2;
    options.stall_timeout = Duration::from_secs(1);
    let manifest = manifest_of(&[json!(raw.url("/slow.jpg"))]);
    // The whole of it would take five minutes.
    let (report, _) = run_with(manifest, &options, &http_options()).await;
    assert!(report.unwrap_err().to_string().contains("1 KiB/s"));
}

/// Whether its server tells the length before or only sends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_is_longer_than_allowed_is_left_out() {
    let origin = Origin::start().await;
    for name in ["fits", "long"] {
        let length = if name == "fits" { 100_000 } else { 100_001 };
        origin.add(&format!("/{name}.jpg"), Photo::new(noise(length, 1)));
        let mut unknown = Photo::new(noise(length, 2));
        unknown.chunked = true;
        origin.add(&format!("/{name}-unknown.jpg"), unknown);
    }
    let mut options = options();
    options.max_photo_bytes = 100_000;
    let photos = ["fits", "long", "fits-unknown", "long-unknown"];
    let photos = photos.map(|name| json!(origin.url(&format!("/{name}.jpg"))));
    let (report, _) = run_with(manifest_of(&photos), &options, &http_options()).await;
    let report = report.unwrap();
    let reasons: Vec<_> = (report.missing.iter())
        .map(|missing| (missing.photo, missing.reason.clone()))
        .collect();
    let too_large = MissingReason::TooLarge { bytes: 100_001 };
    assert_eq!(reasons, [(1, too_large.clone()), (3, too_large)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_end_costs_nobody_else_anything() {
    let raw = Raw::start(|request| {
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n";
        match (request.is_head(), request.target.as_str()) {
            (true, _) => Answer::Bytes(head.to_vec()),
            (_, "/camera.jpg") => Answer::Endless(head.to_vec()),
            // It arrives when the endless one has taken all the room.
            _ => {
                let body = noise(3_000_000, 1);
                let start = format!("{:x}\r\n", body.len()).into_bytes();
                Answer::Bytes([head, start.as_slice(), &body, b"\r\n0\r\n\r\n"].concat())
            }
        }
    })
    .await;
    let mut options = options();
    options.spool_limit = 20_000_000;
    let mut photos = vec![json!(raw.url("/camera.jpg"))];
    photos.extend((0..5).map(|number| json!(raw.url(&format!("/{number}.jpg")))));
    let (report, sink) = run_with(manifest_of(&photos), &options, &http_options()).await;
    let report = report.unwrap();
    assert_eq!(report.missing.len(), 1, "{:?}", report.missing);
    assert!(
        matches!(report.missing[0].reason, MissingReason::TooLarge { bytes } if bytes > 20_000_000)
    );
    let archive = sink.archive("event.zip").unwrap();
    assert_eq!(
        names(&archive)[..5],
        ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    );
    assert!(members(&archive)[4].1 == noise(3_000_000, 1));
    // Alone it is missing, too, and not a matter of settings.
    let manifest = manifest_of(&[json!(raw.url("/camera.jpg"))]);
    let (report, _) = run_with(manifest, &options, &http_options()).await;
    assert!(matches!(report, Err(EngineError::Missing { .. })));
}

// Proxies.

#[tokio::test(flavor = "multi_thread")]
async fn plain_addresses_are_asked_for_through_the_proxy() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nphoto".to_vec();
    let proxy = Raw::proxy(([127, 0, 0, 1], 1).into(), answer).await;
    let mut http = http_options();
    // Whoever sets a proxy may have it in a private network.
    http.allow_private = false;
    http.proxies = ProxyOptions {
        http: Some(format!("http://user:s3cret@{}", proxy.address())),
        none: Some("other.test".to_owned()),
        ..ProxyOptions::default()
    };
    let photo = json!({"url": "http://photos.test/a.jpg?token=t", "size": 5});
    let (report, sink) = run_with(manifest_of(&[photo]), &options(), &http).await;
    report.unwrap();
    assert_eq!(members(&sink.archive("event.zip").unwrap())[0].1, "photo");
    let log = proxy.log();
    assert_eq!(log[0].target, "http://photos.test/a.jpg?token=t");
    let head = log[0].head.to_ascii_lowercase();
    assert!(
        head.contains("proxy-authorization: basic dxnlcjpzm2nyzxq="),
        "{head}"
    );
    // Addresses that are written out are guarded all the same.
    let photo = json!("http://169.254.169.254/latest/");
    let (report, _) = run_with(manifest_of(&[photo]), &options(), &http).await;
    assert!(matches!(report, Err(EngineError::Missing { .. })));
    assert_eq!(proxy.log().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_do_not_work_are_named() {
    let probe = async |proxy: String| {
        let mut http = http_options();
        http.proxies.all = Some(proxy);
        let manifest = manifest_of(&[json!("http://photos.test/a.jpg")]);
        let source = HttpSource::new(http).unwrap();
        source.probe(&manifest.photos[0], false).await
    };
    let refuses = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n".to_vec();
    let proxy = Raw::proxy(([127, 0, 0, 1], 1).into(), refuses).await;
    // Even without a scheme, as curl takes it.
    let error = probe(proxy.address().to_string()).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Settings(what) if what.contains("407")),
        "{error:?}"
    );
    let error = probe("http://169.254.169.254:3128".to_owned())
        .await
        .unwrap_err();
    assert!(matches!(error, SourceError::Settings(_)), "{error:?}");
    insta::assert_snapshot!(
        told(probe("http://127.0.0.1:1".to_owned()).await),
        @"the proxy `127.0.0.1` refused the connection (lasting: false)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_addresses_go_through_a_tunnel() {
    let key = rcgen::generate_simple_self_signed(["photos.test".to_owned()]).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(
        tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![key.cert.der().clone()],
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())
            .unwrap(),
    )
    .unwrap();
    let origin = Origin::start_tls(std::sync::Arc::new(config)).await;
    origin.add("/a.jpg", Photo::new(jpeg()));
    let proxy = Raw::proxy(origin.address(), Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    std::fs::write(&certificate, key.cert.pem()).unwrap();
    let manifest = folder.path().join("manifest.txt");
    std::fs::write(&manifest, "https://photos.test/a.jpg\n").unwrap();
    let processor = |environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_processor"));
        command
            .args([
                "run",
                "manifest.txt",
                "-o",
                "event.zip",
                "--log-level",
                "info",
            ])
            .current_dir(folder.path())
            .env_clear()
            .env("SSL_CERT_FILE", &certificate)
            .env("WPP_SOURCE__ALLOWED_HOSTS", "photos.test")
            .env("WPP_SOURCE__ATTEMPTS", "2")
            .env("WPP_SOURCE__RETRY_DELAY", "10ms")
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let address = format!("http://user:s3cret@{}", proxy.address());
    let (code, said) = tokio::task::block_in_place(|| processor(&[("HTTPS_PROXY", &address)]));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the address guard checks the proxy's address"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    let archive = std::fs::read(folder.path().join("event.zip")).unwrap();
    assert!(members(&archive.into())[0].1 == jpeg());
    let log = proxy.log();
    assert!(
        !log.is_empty()
            && log
                .iter()
                .all(|request| request.target == "photos.test:443")
    );
    // Without the proxy nobody knows that name.
    let asked = proxy.log().len();
    let environment = [("https_proxy", address.as_str()), ("NO_PROXY", ".test")];
    let (code, said) = tokio::task::block_in_place(|| processor(&environment));
    assert_eq!(code, Some(75), "{said}");
    assert_eq!(proxy.log().len(), asked);
    // What is no proxy is a matter of settings.
    let environment = [("HTTPS_PROXY", "socks5://user:s3cret@p.example")];
    let (code, said) = tokio::task::block_in_place(|| processor(&environment));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("`HTTPS_PROXY`") && !said.contains("s3cret"),
        "{said}"
    );
}
