//! What there is to know about a photo before it is fetched.
//!
//! Firebase download links answer HEAD with 400, but the same link without `alt=media` gives
//! the object's metadata as JSON. Elsewhere it is HEAD, or a GET of one byte where HEAD does not
//! work or does not tell the length. Whatever is stored packed has no length that counts until it is
//! unpacked, so none is reported. What calls itself a page is looked at.

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::answer::Answer;
use super::{HttpBody, HttpSource, Probe, SourceError, Want, refusal};
use crate::manifest::{Hashes, Photo, WebUrl};
use crate::plan::MissingReason;
use crate::source::PhotoBody as _;
use crate::source::google::Resource;
use crate::source::media::{Look, TELLING_BYTES};

/// The most metadata that is read, in bytes; a few kilobytes are usual.
const MAX_METADATA_BYTES: usize = 256 * 1024;

pub(super) async fn probe(
    source: &HttpSource,
    photo: &Photo,
    url: &WebUrl,
    thorough: bool,
) -> Result<Probe, SourceError> {
    let described = if thorough {
        None
    } else {
        match firebase_metadata_url(url) {
            Some(metadata_url) => firebase(source, &metadata_url).await?,
            None => head(source, url).await?,
        }
    };
    let probe = match described {
        Some(probe) => probe,
        None => one_byte(source, url).await?,
    };
    // What is packed is looked at when it is unpacked.
    if probe.length.is_some() && Look::new(photo, &probe.described).is_due() {
        look(source, photo, url).await?;
    }
    Ok(probe)
}

/// The metadata address of a Firebase download link, `…/v0/b/<bucket>/o/<object>?alt=media&token=…`.
/// Told by its shape, so that the emulator and other hosts work too.
fn firebase_metadata_url(url: &WebUrl) -> Option<WebUrl> {
    let url_parts = url.expose();
    let mut segments = url_parts.path_segments()?;
    let shape = (
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
    );
    let (("v0", "b", _, "o", object), None) = (shape, segments.next()) else {
        return None;
    };
    let media = url_parts
        .query_pairs()
        .any(|(key, value)| key == "alt" && value == "media");
    if object.is_empty() || !media {
        return None;
    }
    let rest: Vec<&str> = url
        .query()?
        .split('&')
        .filter(|pair| *pair != "alt=media")
        .collect();
    Some(url.with_query((!rest.is_empty()).then(|| rest.join("&")).as_deref()))
}

/// `None` if the answer is not metadata after all, or refused: the link may work all the same.
async fn firebase(source: &HttpSource, url: &WebUrl) -> Result<Option<Probe>, SourceError> {
    let Some(response) = decisive(source.request(Method::GET, url, &Want::Whole, None).await)?
    else {
        return Ok(None);
    };
    let reading = Limited::new(response.into_body(), MAX_METADATA_BYTES).collect();
    let Ok(Ok(body)) = timeout(source.options.response_timeout, reading).await else {
        return Err(SourceError::transient("the metadata broke off"));
    };
    let resource = serde_json::from_slice::<Resource>(&body.to_bytes()).ok();
    Ok(resource.and_then(Resource::into_probe))
}

/// `None` where HEAD does not work or does not tell the length.
async fn head(source: &HttpSource, url: &WebUrl) -> Result<Option<Probe>, SourceError> {
    let Some(response) = decisive(source.request(Method::HEAD, url, &Want::Whole, None).await)?
    else {
        return Ok(None);
    };
    let answer = Answer::read(response.headers());
    let told = is_whole(response.status()) && answer.encoding.is_identity();
    let length = answer.length.filter(|_| told);
    Ok(length.map(|_| answer.into_probe(length)))
}

/// An answer to a question that is not the download; `None` for one that decides nothing. Signed
/// links are often good for GET alone: HEAD is refused with 403, 400, 404, 405 or 500, sent to a login
/// page, or around in circles. Only a server that is too busy now is asked again.
fn decisive(
    answer: Result<Response<Incoming>, SourceError>,
) -> Result<Option<Response<Incoming>>, SourceError> {
    match answer {
        Ok(response) if response.status().is_success() => Ok(Some(response)),
        Ok(response) => match response.status().as_u16() {
            408 | 425 | 429 | 502..=504 => Err(refusal(&response)),
            _ => Ok(None),
        },
        Err(SourceError::Missing(
            MissingReason::RedirectRefused { .. }
            | MissingReason::TooManyRedirects
            | MissingReason::AddressRefused { .. },
        )) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether an answer is of the whole photo, as it is or as a proxy tells it.
fn is_whole(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION
    )
}

/// Looks at the first bytes of what may be a page.
async fn look(source: &HttpSource, photo: &Photo, url: &WebUrl) -> Result<(), SourceError> {
    let first = Want::Range(0..TELLING_BYTES as u64);
    let response = source.request(Method::GET, url, &first, None).await?;
    let answer = Answer::read(response.headers());
    let mut look = Look::new(photo, &answer.described);
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        // There is no first byte.
        StatusCode::RANGE_NOT_SATISFIABLE => return look.end(),
        status if is_whole(status) => {}
        _ => return Err(refusal(&response)),
    }
    if !answer.encoding.is_identity() {
        return Ok(());
    }
    let mut body = HttpBody(response.into_body());
    let reading = async {
        while look.is_due() {
            match body.chunk().await? {
                Some(chunk) => look.at(&chunk)?,
                None => look.end()?,
            }
        }
        Ok(())
    };
    timeout(source.options.response_timeout, reading)
        .await
        .unwrap_or_else(|_| Err(SourceError::transient("the first bytes did not come")))
}

/// A GET of the first byte: `Content-Range` tells the length.
async fn one_byte(source: &HttpSource, url: &WebUrl) -> Result<Probe, SourceError> {
    let response = source
        .request(Method::GET, url, &Want::Range(0..1), None)
        .await?;
    let answer = Answer::read(response.headers());
    let length = match response.status() {
        StatusCode::PARTIAL_CONTENT => answer.range.as_ref().and_then(|range| range.total),
        // Ranges are not known here, and the whole photo is on its way; dropping the body stops it.
        status if is_whole(status) => {
            let length = answer.length.filter(|_| answer.encoding.is_identity());
            let mut probe = answer.into_probe(length);
            probe.no_ranges = true;
            return Ok(probe);
        }
        // The first byte of nothing.
        StatusCode::RANGE_NOT_SATISFIABLE
            if answer
                .range
                .as_ref()
                .is_none_or(|range| range.total == Some(0)) =>
        {
            // Only the answer to a whole request tells when it was modified.
            let whole = source.request(Method::GET, url, &Want::Whole, None).await?;
            if !whole.status().is_success() {
                return Err(refusal(&whole));
            }
            return Ok(Answer::read(whole.headers()).into_probe(Some(0)));
        }
        _ => return Err(refusal(&response)),
    };
    let length = length.filter(|_| answer.encoding.is_identity());
    let probe = answer.into_probe(length);
    // The single byte is read so that the connection can serve the next request; if it does not
    // come, so be it.
    let reading = Limited::new(response.into_body(), 1024).collect();
    let _ = timeout(source.options.response_timeout, reading).await;
    Ok(probe)
}

impl Answer {
    fn into_probe(self, length: Option<u64>) -> Probe {
        Probe {
            length,
            validators: self.validators,
            hashes: if length.is_some() {
                self.hashes
            } else {
                Hashes::default()
            },
            modified: self.modified,
            no_ranges: self.no_ranges,
            described: self.described,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::SourceRules;

    #[test]
    fn metadata_is_asked_for_without_alt_media() {
        let metadata = |text: &str| {
            let url = WebUrl::parse(text, &SourceRules::anything()).unwrap();
            firebase_metadata_url(&url).map(|url| url.expose().to_string())
        };
        assert_eq!(
            metadata("https://f.example/v0/b/x.appspot.com/o/a%2Fb.jpg?alt=media&token=t"),
            Some("https://f.example/v0/b/x.appspot.com/o/a%2Fb.jpg?token=t".to_owned())
        );
        assert_eq!(
            metadata("https://f.example/v0/b/x/o/b.jpg?alt=media"),
            Some("https://f.example/v0/b/x/o/b.jpg".to_owned())
        );
        for other in [
            "https://f.example/v0/b/x/o/b.jpg?token=t",
            "https://f.example/v0/b/x/o/?alt=media",
            "https://f.example/photos/b.jpg?alt=media",
            "https://f.example/v0/b/x/o/b/c.jpg?alt=media",
        ] {
            assert_eq!(metadata(other), None, "{other}");
        }
    }
}
